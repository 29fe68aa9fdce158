package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// union is the keys of both maps, sorted.
func union(a, b resource.PropertyMap) []resource.PropertyKey {
	all := maps.Clone(a)
	if all == nil {
		all = resource.PropertyMap{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// bare takes off secrets and known outputs.
func bare(v resource.PropertyValue) resource.PropertyValue {
	switch {
	case v.IsSecret():
		return bare(v.SecretValue().Element)
	case v.IsOutput() && v.OutputValue().Known:
		return bare(v.OutputValue().Element)
	default:
		return v
	}
}

// plain is a property value as JSON has it; ok is false for an unknown one.
// An archive is its hash.
func plain(v resource.PropertyValue) (out any, ok bool) {
	v = bare(v)
	switch {
	case v.IsComputed() || v.IsOutput():
		return nil, false
	case v.IsNull():
		return nil, true
	case v.IsArchive():
		return v.ArchiveValue().Hash, true
	case v.IsArray():
		list := []any{}
		for _, element := range v.ArrayValue() {
			one, ok := plain(element)
			if !ok {
				return nil, false
			}
			list = append(list, one)
		}
		return list, true
	case v.IsObject():
		object := map[string]any{}
		for key, element := range v.ObjectValue() {
			one, ok := plain(element)
			if !ok {
				return nil, false
			}
			object[string(key)] = one
		}
		return object, true
	default:
		return v.V, true
	}
}

// decode fills a struct of ours from properties. What is unknown stays zero.
func decode[P any](values resource.PropertyMap) (P, error) {
	var out P
	object := map[string]any{}
	have := implemented(reflect.TypeFor[P]())
	for key, v := range values {
		if _, ours := have[string(key)]; !ours {
			continue
		}
		if one, ok := plain(v); ok {
			object[string(key)] = one
		}
	}
	text, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return out, fmt.Errorf("decode properties: %w", err)
	}
	return out, nil
}

// encode is the inverse; unset members (JSON null) are left out.
func encode(p any) (resource.PropertyMap, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode properties: %w", err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("encode properties: %w", err)
	}
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
	return resource.NewPropertyMapFromMap(object), nil
}

// same compares one property of two structs; nil and empty are the same.
func same(a, b reflect.Value) bool {
	x, y := a, b
	for _, v := range []*reflect.Value{&x, &y} {
		if (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
			*v = reflect.Zero(v.Type())
		}
	}
	return cmp.Equal(x.Interface(), y.Interface())
}
