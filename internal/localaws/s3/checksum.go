package s3

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// checksums are base64 texts by algorithm, whose name is as in the header:
// "Crc32" of X-Amz-Checksum-Crc32.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
type checksums map[string]string

const checksumHeader = "X-Amz-Checksum-"

// algorithms are those that are computed here.
var algorithms = []string{"Crc32", "Crc32c", "Crc64nvme", "Sha1", "Sha256"}

// nvme is the reversed polynomial of CRC-64/NVME.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
var nvme = crc64.MakeTable(0x9a6c_9329_ac4b_c9b5)

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "Crc32":
		return crc32.NewIEEE()
	case "Crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "Sha1":
		return sha1.New()
	case "Sha256":
		return sha256.New()
	default:
		return crc64.New(nvme)
	}
}

func checksumOf(algorithm string, data []byte) string {
	h := newHash(algorithm)
	h.Write(data)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func badDigest(algorithm string) *wire.Error {
	return wire.Errorf(http.StatusBadRequest, "BadDigest", "The %s you specified did not match the calculated checksum.", algorithm)
}

// describe is the headers that tell of them; kind is FULL_OBJECT, COMPOSITE,
// or "" where it is not said.
func (c checksums) describe(header http.Header, kind string) {
	for _, name := range slices.Sorted(maps.Keys(c)) {
		header.Set(checksumHeader+name, c[name])
	}
	if kind != "" && len(c) > 0 {
		header.Set(checksumHeader+"Type", kind)
	}
}

// verify compares what was sent, in headers or in the trailer, with the data.
func verify(sent func(name string) string, data []byte) (checksums, error) {
	out := checksums{}
	for _, name := range algorithms {
		value := sent(checksumHeader + name)
		if value == "" {
			continue
		}
		if checksumOf(name, data) != value {
			return nil, badDigest(strings.ToUpper(name))
		}
		out[name] = value
	}
	if len(out) > 1 {
		return nil, invalidRequest("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	return out, nil
}
