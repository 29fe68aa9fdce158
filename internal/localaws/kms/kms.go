// Package kms is the embedded AWS's Key Management Service: customer keys with
// policies, rotation, aliases, deletion windows, and real encryption bound to
// its encryption context. Asymmetric, HMAC, imported and multi-Region keys and
// grants do not exist here. Who may use a key is decided by the port Authorize,
// which reads the key's policy with PolicyOf.
package kms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tapctl/tapctl/internal/clock"
	"github.com/tapctl/tapctl/internal/localaws/policy"
	"github.com/tapctl/tapctl/internal/localaws/wire"
)

// Options are the dependencies of a Service.
type Options struct {
	Log   *slog.Logger // nil: discarded
	Clock clock.Clock
	// Authorize says whether the caller may do this; nil allows everything.
	Authorize wire.Authorizer
}

// Service is the keys of all regions.
type Service struct {
	options Options
	mu      sync.Mutex
	regions map[string]*region
}

type region struct {
	keys    map[string]*key   // by key id
	aliases map[string]string // alias name -> key id
}

// State is a key's state.
type State string

// The states.
const (
	Enabled         State = "Enabled"
	Disabled        State = "Disabled"
	PendingDeletion State = "PendingDeletion"
)

type key struct {
	id, arn     string
	description string
	policy      string
	tags        map[string]string
	created     time.Time
	state       State
	deleteAt    time.Time
	rotates     bool
	period      int // days between rotations
	material    []byte
}

// New returns an empty account.
func New(options Options) *Service {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{options: options, regions: map[string]*region{}}
}

func (s *Service) region(name string) *region {
	r, known := s.regions[name]
	if !known {
		r = &region{keys: map[string]*key{}, aliases: map[string]string{}}
		s.regions[name] = r
	}
	return r
}

func notFound(id string) error {
	return wire.Errorf(http.StatusBadRequest, "NotFoundException", "Key '%s' does not exist", id)
}

func invalidState(k *key) error {
	return wire.Errorf(http.StatusBadRequest, "KMSInvalidStateException", "%s is pending deletion.", k.arn)
}

// find resolves a key id, key ARN, alias name or alias ARN. Keys whose
// deletion window has passed are gone.
func (r *region) find(now time.Time, id string) (*key, error) {
	name := id
	if strings.HasPrefix(id, "arn:") {
		_, name, _ = strings.Cut(id[strings.LastIndex(id, ":")+1:], "key/")
		if i := strings.Index(id, ":alias/"); i >= 0 {
			name = id[i+1:]
		}
	}
	if target, isAlias := r.aliases[name]; isAlias {
		name = target
	}
	k, found := r.keys[name]
	if !found {
		return nil, notFound(id)
	}
	if k.state == PendingDeletion && !now.Before(k.deleteAt) {
		delete(r.keys, name)
		maps.DeleteFunc(r.aliases, func(_, target string) bool { return target == name })
		return nil, notFound(id)
	}
	return k, nil
}

// usable is find for operations that need the key's material.
func (r *region) usable(now time.Time, id string) (*key, error) {
	k, err := r.find(now, id)
	switch {
	case err != nil:
		return nil, err
	case k.state == PendingDeletion:
		return nil, invalidState(k)
	case k.state == Disabled:
		return nil, wire.Errorf(http.StatusBadRequest, "DisabledException", "%s is disabled.", k.arn)
	}
	return k, nil
}

// create makes an enabled symmetric key.
func (s *Service) create(now time.Time, regionName, description, policy string, tags map[string]string) (*key, error) {
	if policy == "" {
		policy = fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"kms:*","Resource":"*"}]}`, wire.Account)
	}
	if err := checkPolicy(policy); err != nil {
		return nil, err
	}
	random := make([]byte, 16+32)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	text := hex.EncodeToString(random[:16])
	id := text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
	k := &key{
		id: id, arn: fmt.Sprintf("arn:aws:kms:%s:%s:key/%s", regionName, wire.Account, id), description: description, policy: policy,
		tags: tags, created: now, state: Enabled, period: 365, material: random[16:],
	}
	s.region(regionName).keys[id] = k
	return k, nil
}

func checkPolicy(text string) error {
	document, err := policy.Parse(text)
	if err == nil {
		err = document.Resource()
	}
	if err != nil {
		return wire.Errorf(http.StatusBadRequest, "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid elements: %v", err)
	}
	return nil
}

// seal encrypts under the key, bound to the context. The blob names its key,
// so that Decrypt needs no key id.
func (k *key) seal(plaintext []byte, encryptionContext map[string]string) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	blob := append([]byte{byte(len(k.id))}, k.id...)
	blob = append(blob, nonce...)
	return aead.Seal(blob, nonce, plaintext, bind(encryptionContext)), nil
}

func (k *key) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.material)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

var errCiphertext = wire.Errorf(http.StatusBadRequest, "InvalidCiphertextException", "")

// keyIDOf reads the id of the key a blob was made with.
func keyIDOf(blob []byte) (id string, rest []byte, err error) {
	if len(blob) == 0 || len(blob) < 1+int(blob[0]) {
		return "", nil, errCiphertext
	}
	n := 1 + int(blob[0])
	return string(blob[1:n]), blob[n:], nil
}

func (k *key) open(sealed []byte, encryptionContext map[string]string) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errCiphertext
	}
	plaintext, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], bind(encryptionContext))
	if err != nil {
		return nil, errCiphertext
	}
	return plaintext, nil
}

// bind is the encryption context as additional data: sorted, and each part
// with its length, so that no two contexts look alike.
func bind(encryptionContext map[string]string) []byte {
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(encryptionContext)) {
		for _, part := range []string{name, encryptionContext[name]} {
			out = binary.BigEndian.AppendUint32(out, uint32(len(part)))
			out = append(out, part...)
		}
	}
	return out
}
