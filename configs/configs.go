// Package configs holds the commented example configurations.
package configs

import _ "embed"

// Local is the configuration of the embedded AWS, which 'tapctl local up' puts
// beside its state.
//
//go:embed local.yaml
var Local []byte
