package dynamodb

import (
	"bytes"
	"hash/crc32"
	"net/http"
	"strconv"
)

// checksummed adds the header by which the SDK checks every answer of
// DynamoDB; without it the SDK logs a warning for each.
func checksummed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(held, r)
		w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(held.body.Bytes())), 10))
		w.WriteHeader(held.status)
		w.Write(held.body.Bytes()) // Non-fatal: the caller has gone.
	})
}

// heldAnswer keeps an answer back until its checksum is known.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (h *heldAnswer) WriteHeader(status int) { h.status = status }

// Write implements http.ResponseWriter.
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }
