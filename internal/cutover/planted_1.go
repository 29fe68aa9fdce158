//go:build simbug1

package cutover

const (
	plantedUnknownPasses = true
	plantedNoReadBack    = false
	plantedIgnoresFence  = false
)
