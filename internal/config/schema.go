package config

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// source is config.go, whose comments describe the keys.
//
//go:embed config.go
var source string

// Schema is the JSON Schema of the configuration's file, for editors and for
// other checks. Keys, types, comments and defaults are those of Config; what a
// value may be is what Load refuses otherwise, as far as one key says it alone.
// https://json-schema.org/draft/2020-12
func Schema() (*jsonschema.Schema, error) {
	comments, err := commentsOf(source)
	if err != nil {
		return nil, err
	}
	reflector := jsonschema.Reflector{
		FieldNameTag: "mapstructure", DoNotReference: true, Anonymous: true, RequiredFromJSONSchemaTags: true, CommentMap: comments,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t != durationType {
				return nil
			}
			return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^0$`, Examples: []any{"90s", "5m"}}
		},
	}
	schema := reflector.Reflect(Config{})
	schema.Title, schema.Description = "tapctl.yaml", "Configuration of tapctl. Every key may also be set as a variable: shift.bake is TAPCTL_SHIFT_BAKE."
	rules := rulesOf(Defaults())
	schema.Required = []string{"team_name", "environment", "source_region", "target_region", "domain"} // refused where they are empty
	constrain(schema, "", flatten(Defaults()), rules)
	return schema, nil
}

// rule is what one key's value may be.
type rule struct {
	choices   []any
	pattern   string
	low, high *float64
}

// rulesOf are the rules that the check applies to a configuration.
func rulesOf(c Config) map[string]rule {
	k := checker{rules: map[string]rule{}}
	c.checkAll(&k)
	return k.rules
}

// constrain adds to the properties, by their keys, the defaults and rules.
func constrain(s *jsonschema.Schema, prefix string, defaults map[string]any, rules map[string]rule) {
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		key, property := prefix+pair.Key, pair.Value
		if property.Type == "object" {
			constrain(property, key+".", defaults, rules)
			continue
		}
		if value := defaults[key]; value != nil && !reflect.ValueOf(value).IsZero() {
			property.Default = value
			if d, ok := value.(time.Duration); ok {
				property.Default = d.String()
			}
		}
		r := rules[key]
		property.Enum = r.choices
		if r.pattern != "" {
			property.Pattern = r.pattern
		}
		if r.low != nil {
			property.Minimum, property.Maximum = number(*r.low), number(*r.high)
		}
	}
}

func number(v float64) json.Number {
	encoded, _ := json.Marshal(v) // a finite number, always
	return json.Number(encoded)
}

// commentsOf are the comments of the types and fields, by the names that the
// reflector asks for.
func commentsOf(source string) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	pkg := reflect.TypeFor[Config]().PkgPath()
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			return false
		}
		for _, field := range fields.Fields.List {
			text := strings.TrimSpace(field.Doc.Text() + field.Comment.Text())
			for _, name := range field.Names {
				comments[pkg+"."+spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
			}
		}
		return false
	})
	return comments, nil
}
