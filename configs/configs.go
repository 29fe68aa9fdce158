// Package configs holds the commented example configurations.
package configs

import _ "embed"

// Local is the configuration of the embedded AWS, which 'tapctl local up' puts
// beside its state.
//
//go:embed local.yaml
var Local []byte

// Production is a configuration for a real account, which 'tapctl init' writes.
//
//go:embed production.yaml
var Production []byte

// GitHub is a workflow that runs tapctl, which 'tapctl init --github' writes.
//
//go:embed github.yml
var GitHub []byte
