package provider

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// elementOf is the plain struct behind an Args struct of the SDK: its fields
// say which properties exist and of what type.
func elementOf(args any) reflect.Type {
	return args.(interface{ ElementType() reflect.Type }).ElementType()
}

// fields are the properties of a plain SDK struct, by name.
func fields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("pulumi"); name != "" {
			out[name] = t.Field(i).Type
		}
	}
	return out
}

// implemented are the properties of one of this package's structs, by name.
func implemented(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out[name] = t.Field(i)
	}
	return out
}

func isOutput(f reflect.StructField) bool {
	how := f.Tag.Get("aws")
	return how == "out" || how == "changes"
}

var archiveType = reflect.TypeFor[pulumi.Archive]()

// checker collects what is wrong with the inputs of one resource.
type checker struct{ failures []plugin.CheckFailure }

func (c *checker) fail(path, format string, args ...any) {
	c.failures = append(c.failures, plugin.CheckFailure{Property: resource.PropertyKey(path), Reason: fmt.Sprintf(format, args...)})
}

// object checks a map of properties against the SDK's struct and ours.
func (c *checker) object(path string, values resource.PropertyMap, sdk, ours reflect.Type) {
	known := fields(sdk)
	have := implemented(ours)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		at := string(key)
		if path != "" {
			at = path + "." + at
		}
		t, ok := known[string(key)]
		if !ok {
			c.fail(at, "%s is not a property of this resource type", at)
			continue
		}
		f, ok := have[string(key)]
		if !ok || isOutput(f) {
			c.fail(at, "the embedded aws provider does not implement %s", at)
			continue
		}
		c.value(at, values[key], t, f.Type)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		at := name
		if path != "" {
			at = path + "." + at
		}
		f, ours := have[name]
		required := known[name].Kind() != reflect.Pointer && known[name].Kind() != reflect.Slice && known[name].Kind() != reflect.Map && known[name] != archiveType && known[name].Kind() != reflect.Interface
		required = required || ours && f.Tag.Get("check") == "required"
		if _, given := values[resource.PropertyKey(name)]; required && !given {
			c.fail(at, "%s is required (the embedded aws provider does not make up names)", at)
		}
	}
}

func (c *checker) value(path string, v resource.PropertyValue, sdk, ours reflect.Type) {
	for v.IsSecret() || v.IsOutput() {
		if v.IsSecret() {
			v = v.SecretValue().Element
		} else if v.OutputValue().Known {
			v = v.OutputValue().Element
		} else {
			return
		}
	}
	if v.IsComputed() || v.IsNull() {
		return
	}
	for sdk.Kind() == reflect.Pointer {
		sdk = sdk.Elem()
	}
	for ours.Kind() == reflect.Pointer {
		ours = ours.Elem()
	}
	wrong := func(want string) { c.fail(path, "%s must be %s, not %s", path, want, v.TypeString()) }
	switch {
	case sdk == archiveType:
		if !v.IsArchive() {
			wrong("an archive")
		}
	case sdk.Kind() == reflect.Interface:
		c.any(path, v, ours)
	case sdk.Kind() == reflect.String:
		if !v.IsString() {
			wrong("a string")
		}
	case sdk.Kind() == reflect.Bool:
		if !v.IsBool() {
			wrong("a boolean")
		}
	case sdk.Kind() == reflect.Int:
		if !v.IsNumber() || v.NumberValue() != math.Trunc(v.NumberValue()) {
			wrong("an integer")
		}
	case sdk.Kind() == reflect.Float64:
		if !v.IsNumber() {
			wrong("a number")
		}
	case sdk.Kind() == reflect.Slice:
		if !v.IsArray() {
			wrong("a list")
			return
		}
		for i, element := range v.ArrayValue() {
			c.value(fmt.Sprintf("%s[%d]", path, i), element, sdk.Elem(), ours.Elem())
		}
	case sdk.Kind() == reflect.Map:
		if !v.IsObject() {
			wrong("a map")
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v.ObjectValue())) {
			c.value(path+"."+string(key), v.ObjectValue()[key], sdk.Elem(), ours.Elem())
		}
	case sdk.Kind() == reflect.Struct:
		if !v.IsObject() {
			wrong("an object")
			return
		}
		c.object(path, v.ObjectValue(), sdk, ours)
	default:
		c.fail(path, "the embedded aws provider cannot check %s of type %s", path, sdk)
	}
}

// any checks a property the SDK leaves open (a resource or its id, a policy):
// all of ours are text.
func (c *checker) any(path string, v resource.PropertyValue, ours reflect.Type) {
	if ours.Kind() == reflect.String && !v.IsString() {
		c.fail(path, "%s must be a string here, not %s", path, v.TypeString())
	}
}
