//go:build race

package cutover_test

const underRace = true
