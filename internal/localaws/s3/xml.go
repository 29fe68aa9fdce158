package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
)

// decode reads a document into a struct whose XMLName names its root. An
// element that the struct has not is refused: it would be lost in silence.
func decode(body []byte, into any) error {
	if err := xml.Unmarshal(body, into); err != nil {
		return malformedXML()
	}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	path := []reflect.Type{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return malformedXML()
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(path) == 0 {
				path = append(path, reflect.TypeOf(into))
				continue
			}
			child := elementOf(path[len(path)-1], t.Name.Local)
			if child == nil {
				return notImplemented("element %s", t.Name.Local)
			}
			path = append(path, child)
		case xml.EndElement:
			path = path[:len(path)-1]
		}
	}
}

// elementOf is the type that an element of this name is read into, nil where
// there is none.
func elementOf(in reflect.Type, name string) reflect.Type {
	for in.Kind() == reflect.Pointer || in.Kind() == reflect.Slice {
		in = in.Elem()
	}
	if in.Kind() != reflect.Struct {
		return nil
	}
	for i := range in.NumField() {
		f := in.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if tag == "" {
			tag = f.Name
		}
		if tag == name && f.Name != "XMLName" {
			return f.Type
		}
	}
	return nil
}
