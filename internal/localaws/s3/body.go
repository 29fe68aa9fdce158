package s3

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// read takes the whole body before the lock is taken, and holds it to every
// digest that it was sent with.
func (r *request) read() error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, wire.MaxBody))
	if _, tooMuch := errors.AsType[*http.MaxBytesError](err); tooMuch {
		return wire.Errorf(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
	}
	if err != nil {
		return incompleteBody()
	}
	trailer := textproto.MIMEHeader{}
	kind := r.Header.Get("X-Amz-Content-Sha256")
	if strings.HasPrefix(kind, "STREAMING-") {
		if body, trailer, err = unchunk(body); err != nil {
			return err
		}
		if length := r.Header.Get("X-Amz-Decoded-Content-Length"); length != strconv.Itoa(len(body)) {
			return incompleteBody()
		}
		r.plainEncoding()
	} else if sum := sha256.Sum256(body); len(kind) == 2*sha256.Size && kind != hex.EncodeToString(sum[:]) {
		return wire.Errorf(http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	r.body = body
	if sent := r.Header.Get("Content-Md5"); sent != "" {
		raw, err := base64.StdEncoding.DecodeString(sent)
		if err != nil || len(raw) != md5.Size {
			return wire.Errorf(http.StatusBadRequest, "InvalidDigest", "The Content-MD5 you specified was invalid.")
		}
		if sum := md5.Sum(body); !bytes.Equal(raw, sum[:]) {
			return badDigest("Content-MD5")
		}
	}
	if r.Method == http.MethodPost && r.query.Has("uploadId") {
		return nil // the checksum is the object's, not that of the list of parts
	}
	r.sums, err = verify(func(name string) string {
		if value := trailer.Get(name); value != "" {
			return value
		}
		return r.Header.Get(name)
	}, body)
	return err
}

func incompleteBody() *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "IncompleteBody", "The request body terminated unexpectedly")
}

// plainEncoding takes aws-chunked, which is of the transfer, from the encoding
// that the object keeps.
func (r *request) plainEncoding() {
	encodings := strings.Split(r.Header.Get("Content-Encoding"), ",")
	encodings = slices.DeleteFunc(encodings, func(one string) bool { return strings.TrimSpace(one) == "aws-chunked" })
	r.Request = r.Clone(r.Context())
	r.Header.Set("Content-Encoding", strings.TrimSpace(strings.Join(encodings, ",")))
}

// unchunk reads an aws-chunked body and the headers that follow it. The
// signatures of chunks are not checked, as that of the request is not.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func unchunk(body []byte) ([]byte, textproto.MIMEHeader, error) {
	in := bufio.NewReader(bytes.NewReader(body))
	var out []byte
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, nil, incompleteBody()
		}
		digits, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ";")
		size, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || size > wire.MaxBody {
			return nil, nil, invalidRequest("Chunk length is malformed")
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(in, chunk); err != nil || !bytes.HasSuffix(chunk, []byte("\r\n")) {
			return nil, nil, incompleteBody()
		}
		out = append(out, chunk[:size]...)
	}
	trailer, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, wire.Errorf(http.StatusBadRequest, "MalformedTrailerError", "The request contained trailing data that was not well-formed")
	}
	return out, trailer, nil
}

// noACL refuses access control lists other than the owner's own.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html
func (r *request) noACL(ownership string) error {
	acl := r.Header.Get("X-Amz-Acl")
	switch {
	case acl == "", acl == "bucket-owner-full-control":
		return nil
	case ownership == "BucketOwnerEnforced":
		return wire.Errorf(http.StatusBadRequest, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	case acl == "private":
		return nil
	default:
		return notImplemented("access control list %s", acl)
	}
}

// mayReplace holds a write to what it expects of the object that is there.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func (r *request) mayReplace() error {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	v := r.in.current(r.key)
	failed := func(condition string) error {
		e := wire.Errorf(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		e.Fields = map[string]any{"Condition": condition}
		return e
	}
	switch {
	case none != "" && none != "*", none != "" && match != "", match == "*" && r.Method != http.MethodDelete:
		return notImplemented("write on the condition of If-Match %q and If-None-Match %q", match, none)
	case none == "*" && v != nil:
		return failed("If-None-Match")
	case match != "" && v == nil && r.Method != http.MethodDelete:
		return noSuchKey(r.key)
	case match != "" && (v == nil || match != "*" && strings.Trim(match, `"`) != strings.Trim(v.etag, `"`)):
		return failed("If-Match")
	}
	return nil
}
