//go:build simbug2

package cutover

const (
	plantedUnknownPasses = false
	plantedNoReadBack    = true
	plantedIgnoresFence  = false
)
