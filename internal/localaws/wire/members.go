package wire

import (
	"reflect"
	"time"
)

// Members turns an SDK output struct into what its protocol carries: the
// members that are set, by name. The services use the SDK's own types as
// their model, and those have no encoding of their own. asTime gives a time
// its form on the wire (nil leaves time.Time, which is right for CBOR).
// Unset members (nil, "", empty slices that are nil) are left out.
func Members(v any, asTime func(time.Time) any) any {
	if asTime == nil {
		asTime = func(t time.Time) any { return t.UTC() }
	}
	return members(reflect.ValueOf(v), asTime)
}

// EpochMembers is Members for the JSON protocols.
func EpochMembers(v any) any {
	return Members(v, func(t time.Time) any { return Epoch(t) })
}

func members(v reflect.Value, asTime func(time.Time) any) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return members(v.Elem(), asTime)
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return asTime(t)
		}
		out := map[string]any{}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if !field.IsExported() || field.Name == "ResultMetadata" || unset(v.Field(i)) {
				continue
			}
			out[field.Name] = members(v.Field(i), asTime)
		}
		return out
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface()
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = members(v.Index(i), asTime)
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[key.String()] = members(v.MapIndex(key), asTime)
		}
		return out
	default:
		return v.Interface()
	}
}

func unset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	default:
		return false
	}
}
