package secretsmanager

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// The labels that Secrets Manager moves by itself.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
)

// content is what a primary and its replicas have in common.
type content struct {
	description string
	policy      string
	tags        map[string]string
	versions    []version         // oldest first; a version never changes
	stages      map[string]string // label -> version id
}

type version struct {
	id      string
	created time.Time
	value   value
}

// value is one of text and data.
type value struct {
	text *string
	data []byte
}

func (v value) empty() bool { return v.text == nil && v.data == nil }

func (v value) same(other value) bool {
	if v.text == nil || other.text == nil {
		return v.text == nil && other.text == nil && bytes.Equal(v.data, other.data)
	}
	return *v.text == *other.text
}

func (v value) check() error {
	switch {
	case v.text != nil && v.data != nil:
		return invalidParameter("You can't specify both a binary secret value and a string secret value in the same secret.")
	case v.text != nil && len(*v.text) > valueMax || len(v.data) > valueMax:
		return invalidParameter("The secret value must not be longer than %d bytes.", valueMax)
	default:
		return nil
	}
}

// clone shares the versions, which do not change.
func (c content) clone() content {
	c.tags, c.stages, c.versions = maps.Clone(c.tags), maps.Clone(c.stages), slices.Clone(c.versions)
	return c
}

func (c content) version(id string) (version, bool) {
	i := slices.IndexFunc(c.versions, func(v version) bool { return v.id == id })
	if i < 0 {
		return version{}, false
	}
	return c.versions[i], true
}

// labels are a version's, sorted.
func (c content) labels(id string) []string {
	var out []string
	for _, label := range slices.Sorted(maps.Keys(c.stages)) {
		if c.stages[label] == id {
			out = append(out, label)
		}
	}
	return out
}

// byVersion is VersionIdsToStages: versions without a label are not in it.
func (c content) byVersion() map[string][]string {
	var out map[string][]string
	for _, v := range c.versions {
		if labels := c.labels(v.id); len(labels) > 0 {
			if out == nil {
				out = map[string][]string{}
			}
			out[v.id] = labels
		}
	}
	return out
}

// put adds a version under the caller's token, which makes a repeated call
// harmless, and moves the labels. Without labels, or for the first version,
// that is AWSCURRENT.
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
func (x *secret) put(now time.Time, token string, v value, labels []string) (id string, err error) {
	if token == "" {
		token = newToken()
	}
	if len(token) < 32 || len(token) > 64 {
		return "", invalidParameter("You must provide a ClientRequestToken value that is between 32 and 64 characters long.")
	}
	if len(labels) > stagesMax {
		return "", invalidParameter("A version can have at most %d staging labels.", stagesMax)
	}
	if known, found := x.content.version(token); found {
		if known.value.same(v) {
			return token, nil
		}
		return "", exists("You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, x.arn)
	}
	first := len(x.content.versions) == 0
	x.content.versions = append(x.content.versions, version{token, now, v})
	if len(labels) == 0 || first && !slices.Contains(labels, current) {
		labels = append(slices.Clone(labels), current)
	}
	for _, label := range labels {
		if old := x.content.stages[current]; label == current && old != "" {
			x.content.stages[previous] = old
		}
		x.content.stages[label] = token
	}
	x.prune()
	return token, nil
}

// prune forgets the oldest versions that no label names.
func (x *secret) prune() {
	for i := 0; len(x.content.versions) > versionsMax && i < len(x.content.versions); {
		if id := x.content.versions[i].id; len(x.content.labels(id)) == 0 {
			x.content.versions = slices.Delete(slices.Clone(x.content.versions), i, i+1)
			delete(x.versionAccessed, id)
			continue
		}
		i++
	}
}

// newToken is a random UUID.
func newToken() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := hex.EncodeToString(b)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
