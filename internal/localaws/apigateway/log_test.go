package apigateway_test

import (
	"io"
	"log"
)

// discardLog keeps aborted handshakes, which the tests cause, off the output.
var discardLog = log.New(io.Discard, "", 0)
