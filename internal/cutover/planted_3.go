//go:build simbug3

package cutover

const (
	plantedUnknownPasses = false
	plantedNoReadBack    = false
	plantedIgnoresFence  = true
)
