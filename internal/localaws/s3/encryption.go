package s3

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tapctl/tapctl/internal/localaws/wire"
)

const (
	sseS3  = "AES256"
	sseKMS = "aws:kms"
)

// encryption is how one version is encrypted.
type encryption struct {
	algorithm string
	key       string // ARN, for sseKMS
	bucketKey bool
}

func (e encryption) describe(header http.Header) {
	if e.algorithm == "" {
		return
	}
	header.Set("X-Amz-Server-Side-Encryption", e.algorithm)
	if e.algorithm == sseKMS {
		header.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", e.key)
		if e.bucketKey {
			header.Set("X-Amz-Server-Side-Encryption-Bucket-Key-Enabled", "true")
		}
	}
}

// keysFor are the condition keys of a KMS call that S3 makes for an object:
// with a Bucket Key the encryption context is the bucket.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
func (e encryption) keysFor(b *bucket, object string) map[string][]string {
	bound := objectARN(b.name, object)
	if e.bucketKey {
		bound = bucketARN(b.name)
	}
	return map[string][]string{"kms:viaservice": {"s3." + b.region + ".amazonaws.com"}, "kms:encryptioncontext:aws:s3:arn": {bound}}
}

// sseHeaders are the headers a write may carry about encryption.
var sseHeaders = []string{"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Server-Side-Encryption-Bucket-Key-Enabled"}

// encryptionOf is how a write is to be encrypted: as it says, or by the
// bucket's default.
func (s *Service) encryptionOf(r *request) (encryption, error) {
	standard := r.in.encryption()
	e := encryption{algorithm: r.Header.Get(sseHeaders[0]), key: r.Header.Get(sseHeaders[1]), bucketKey: standard.bucketKey}
	if text := r.Header.Get(sseHeaders[2]); text != "" {
		on, err := strconv.ParseBool(text)
		if err != nil {
			return e, invalidArgument("%s is not a boolean", sseHeaders[2])
		}
		e.bucketKey = on
	}
	switch {
	case e.algorithm == "" && e.key != "":
		return e, invalidArgument("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
	case e.algorithm == "":
		e.algorithm, e.key = standard.algorithm, standard.key
	case e.algorithm == sseKMS && e.key == "" && standard.algorithm == sseKMS:
		e.key = standard.key
	case e.algorithm == sseS3 && e.key != "":
		return e, invalidArgument("Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms")
	case e.algorithm != sseS3 && e.algorithm != sseKMS:
		return e, notImplemented("server-side encryption %s", e.algorithm)
	}
	if e.algorithm != sseKMS {
		return encryption{algorithm: e.algorithm}, nil
	}
	var err error
	e.key, err = s.keyARN(r.in.region, e.key)
	return e, err
}

// managedKey is the id of the account's own key for S3, alias/aws/s3, which
// everyone in the account may use through S3.
const managedKey = "00000000-0000-4000-8000-000000000053"

func (e encryption) managed() bool { return strings.HasSuffix(e.key, ":key/"+managedKey) }

// keyARN resolves a key's id, alias or ARN; no name is the account's own key.
func (s *Service) keyARN(region, name string) (string, error) {
	prefix := "arn:aws:kms:" + region + ":"
	switch {
	case name == "" || name == "alias/aws/s3":
		return prefix + wire.Account + ":key/" + managedKey, nil
	case strings.HasPrefix(name, "arn:") && !strings.HasPrefix(name, prefix):
		return "", wire.Errorf(http.StatusBadRequest, "KMS.NotFoundException", "Invalid arn %s", region)
	case strings.HasPrefix(name, "alias/"):
		name = prefix + wire.Account + ":" + name
	case !strings.HasPrefix(name, "arn:"):
		name = prefix + wire.Account + ":key/" + name
	}
	if s.options.KeyARN == nil {
		return name, nil
	}
	arn, ok := s.options.KeyARN(name)
	if !ok {
		return "", wire.Errorf(http.StatusBadRequest, "KMS.NotFoundException", "Key '%s' does not exist", name)
	}
	return arn, nil
}
