//go:build !simbug1 && !simbug2 && !simbug3

package cutover

// The mistakes that builds with the tags simbug1 to simbug3 make, one each, so
// that a test can see the simulation find them. No other build makes any.
const (
	plantedUnknownPasses = false // a bake passes on a verdict of Unknown
	plantedNoReadBack    = false // a write that was sent is taken to be in force
	plantedIgnoresFence  = false // a write upward goes out though its intent was refused
)
