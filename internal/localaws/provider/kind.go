package provider

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// kind is a resource type.
type kind interface {
	check(inputs resource.PropertyMap) []plugin.CheckFailure
	changes(old, now resource.PropertyMap) ([]change, error)
	clashes(old, now resource.PropertyMap) bool
	preview(inputs, state resource.PropertyMap) resource.PropertyMap
	create(ctx context.Context, s *session, inputs resource.PropertyMap) (id string, outputs resource.PropertyMap, err error)
	read(ctx context.Context, s *session, id string, inputs, state resource.PropertyMap) (newInputs, outputs resource.PropertyMap, found bool, err error)
	update(ctx context.Context, s *session, id string, oldInputs, state, inputs resource.PropertyMap) (resource.PropertyMap, error)
	remove(ctx context.Context, s *session, id string, inputs, state resource.PropertyMap) error

	types() (args, state, props reflect.Type) // for the test that holds them together
}

type change struct {
	key      resource.PropertyKey
	replaces bool
}

// kinds are the resource types this provider has, by token.
var kinds = func() map[string]kind {
	out := map[string]kind{}
	for _, group := range []map[string]kind{kmsKinds, iamKinds, dynamodbKinds, apiKinds, stageKinds, domainKinds, lambdaKinds, cloudwatchKinds, route53Kinds, acmKinds,
		secretsmanagerKinds, s3Kinds, dashboardKinds, tableReplicaKinds} {
		maps.Copy(out, group)
	}
	return out
}()

// spec is a resource type whose properties are the fields of P. A field's json
// tag is the property's name, its aws tag says what it is:
//
//	replace  a change needs a new resource
//	out      an output
//	changes  an output that an update may change, so unknown in its preview
//	grows    an input to whose elements AWS adds members: the outputs show them
//
// read starts from what is known of the resource (inputs and state) and sets
// what AWS says; what AWS does not keep (triggers) so stays. It returns nil
// for a resource that has gone.
type spec[P any] struct {
	args  any // the SDK's Args struct
	state any // the SDK's resource struct
	// identity are the properties AWS knows the resource by: as long as they
	// are unchanged, the old one must go before a new one can come.
	identity []string

	create func(ctx context.Context, s *session, p P) (id string, err error)
	read   func(ctx context.Context, s *session, id string, p P) (*P, error)
	update func(ctx context.Context, s *session, id string, old, now P) error // nil: every change replaces
	remove func(ctx context.Context, s *session, id string, p P) error
}

func (k spec[P]) types() (args, state, props reflect.Type) {
	return elementOf(k.args), reflect.TypeOf(k.state), reflect.TypeFor[P]()
}

func (k spec[P]) check(inputs resource.PropertyMap) []plugin.CheckFailure {
	var c checker
	c.object("", inputs, elementOf(k.args), reflect.TypeFor[P]())
	if len(c.failures) == 0 {
		if _, err := decode[P](inputs); err != nil {
			c.fail("", "%v", err)
		}
	}
	return c.failures
}

func (k spec[P]) changes(old, now resource.PropertyMap) ([]change, error) {
	a, err := decode[P](old)
	if err != nil {
		return nil, err
	}
	b, err := decode[P](now)
	if err != nil {
		return nil, err
	}
	have := implemented(reflect.TypeFor[P]())
	var out []change
	for _, key := range union(old, now) {
		f, ours := have[string(key)]
		if !ours {
			continue // left in the state by another version; no input may have it
		}
		_, known := plain(now[key])
		if known && same(reflect.ValueOf(a).FieldByIndex(f.Index), reflect.ValueOf(b).FieldByIndex(f.Index)) {
			continue
		}
		out = append(out, change{key: key, replaces: k.update == nil || f.Tag.Get("aws") == "replace"})
	}
	return out, nil
}

func (k spec[P]) clashes(old, now resource.PropertyMap) bool {
	if len(k.identity) == 0 {
		return false
	}
	return !slices.ContainsFunc(k.identity, func(name string) bool {
		key := resource.PropertyKey(name)
		return !bare(old[key]).DeepEquals(bare(now[key]))
	})
}

// preview is what the outputs will be as far as that is known now.
func (k spec[P]) preview(inputs, state resource.PropertyMap) resource.PropertyMap {
	out := inputs.Copy()
	for name, f := range implemented(reflect.TypeFor[P]()) {
		key := resource.PropertyKey(name)
		switch old, had := state[key]; {
		case !isOutput(f):
		case had && f.Tag.Get("aws") == "out":
			out[key] = old
		default:
			out[key] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	k.allTags(out)
	return out
}

// allTags sets tagsAll, which without default tags is tags.
func (k spec[P]) allTags(out resource.PropertyMap) {
	state := reflect.TypeOf(k.state)
	if _, ok := fields(state)["tagsAll"]; ok {
		out["tagsAll"] = resource.NewProperty(resource.PropertyMap{})
		if tags, ok := out["tags"]; ok {
			out["tagsAll"] = tags
		}
	}
}

// outputs merges what AWS says with the inputs: where both agree the input's
// own value stays, which may be secret or an archive.
func (k spec[P]) outputs(inputs resource.PropertyMap, live P) (out resource.PropertyMap, drifted []resource.PropertyKey, err error) {
	if out, err = encode(live); err != nil {
		return nil, nil, err
	}
	wanted, err := decode[P](inputs)
	if err != nil {
		return nil, nil, err
	}
	for name, f := range implemented(reflect.TypeFor[P]()) {
		key := resource.PropertyKey(name)
		input, given := inputs[key]
		if !given || isOutput(f) {
			continue
		}
		if same(reflect.ValueOf(wanted).FieldByIndex(f.Index), reflect.ValueOf(live).FieldByIndex(f.Index)) {
			if f.Tag.Get("aws") != "grows" {
				out[key] = input
			}
		} else {
			drifted = append(drifted, key)
		}
	}
	k.allTags(out)
	return out, drifted, nil
}

func (k spec[P]) readBack(ctx context.Context, s *session, id string, inputs resource.PropertyMap, p P) (resource.PropertyMap, error) {
	live, err := k.read(ctx, s, id, p)
	if err == nil && live == nil {
		err = fmt.Errorf("%s does not exist right after it was written", id)
	}
	if err != nil {
		return inputs, err
	}
	out, _, err := k.outputs(inputs, *live)
	return out, err
}
