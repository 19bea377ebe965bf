// Package openapi writes the OpenAPI 3.1 document of an HTTP API out of what its routes say
// of themselves. The schemas of answers and of strict bodies are read off the Go types that
// encoding/json writes and reads, so that the two cannot differ.
package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Version is the version of OpenAPI that documents are written in.
const Version = "3.1.0"

// A Schema is a JSON schema (2020-12), as OpenAPI 3.1 has it.
type Schema = map[string]any

// An Operation describes one route.
type Operation struct {
	Method string
	Path   string // as gin has it, /v1/receipts/:id, or with {id}
	ID     string // of the operation, the name that generated clients give its function
	Tag    string
	Says   string // one sentence
	More   string // what else there is to know; Markdown
	// Scope is what the key must have; "" is for a route that asks for none, or for something
	// else: Proofs names the security schemes then, any of which does.
	Scope  string
	Proofs []string
	Params []Param
	Body   *Body
	// Answers are those that go well, Errors the codes of all others.
	Answers []Answer
	Errors  []string
	// Envelope is the schema of the errors of this route where it has one of its own.
	Envelope Schema
}

// A Param is a member of the path, the query or the header.
type Param struct {
	Name     string
	In       string // path, query, header; "" is query, or path where the path has its name
	Says     string
	Required bool
	Schema   Schema // nil: text
	Example  any
}

// A Body is what a request sends.
type Body struct {
	Types    []string // media types; none: application/json
	Of       any      // a Schema, or a value of the Go type that it is decoded into strictly
	Needs    []string // fields of a Go type that must be there
	Optional bool
	Examples map[string]any // by a word for each
}

// An Answer is one that went well.
type Answer struct {
	Status int
	Says   string
	Type   string // media type; "" is application/json, "-" no content
	Of     any    // a Schema, or a value of the Go type that is encoded
}

// A Fault is an error that routes answer with.
type Fault struct {
	Code   string
	Status int
	Says   string
}

// An API is everything that a document is made of.
type API struct {
	Title, Version, Says string
	Tags                 []Tag
	Proofs               map[string]Schema // security schemes; Bearer is that of scopes
	Faults               []Fault
	Envelope             any   // the Go type of an error's answer; its field error.code names the fault
	Types                []any // further Go types that others refer to by name
	// Named are further schemas, which others refer to as #/components/schemas/<name>.
	Named      map[string]Schema
	Operations []Operation
}

// A Tag groups operations.
type Tag struct{ Name, Says string }

// Bearer is the name of the security scheme of keys in the Authorization header.
const Bearer = "key"

// Ref points to a named schema.
func Ref(name string) Schema { return Schema{"$ref": "#/components/schemas/" + name} }

// Document writes the document. The same API gives the same bytes. An error is a mistake in
// what was told: an unknown code, an operation that is there twice, a type without a schema.
func (a API) Document() ([]byte, error) {
	d := document{API: a, types: newTypes(), faults: map[string]Fault{}, paths: map[string]Schema{}, ids: map[string]string{}}
	for _, f := range a.Faults {
		d.faults[f.Code] = f
	}
	for _, v := range append([]any{a.Envelope}, a.Types...) {
		d.types.of(v)
	}
	for _, o := range a.Operations {
		if err := d.add(o); err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", o.Method, o.Path, err)
		}
	}
	if d.types.err != nil {
		return nil, d.types.err
	}
	schemas := maps.Clone(d.types.named)
	for name, s := range a.Named {
		if _, taken := schemas[name]; taken {
			return nil, fmt.Errorf("the schema %s is there twice", name)
		}
		schemas[name] = s
	}
	tags := make([]Schema, len(a.Tags))
	for i, t := range a.Tags {
		tags[i] = Schema{"name": t.Name, "description": t.Says}
	}
	return json.MarshalIndent(Schema{
		"openapi":           Version,
		"info":              Schema{"title": a.Title, "version": a.Version, "description": a.Says},
		"servers":           []Schema{{"url": "/"}},
		"jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
		"tags":              tags,
		"paths":             d.paths,
		"components":        Schema{"schemas": schemas, "securitySchemes": a.Proofs},
	}, "", " ")
}

type document struct {
	API
	types  *types
	faults map[string]Fault
	paths  map[string]Schema
	ids    map[string]string
}

// Template writes a path of gin's as OpenAPI has it.
func Template(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") || strings.HasPrefix(p, "*") {
			parts[i] = "{" + p[1:] + "}"
		}
	}
	return strings.Join(parts, "/")
}

func (d *document) add(o Operation) error {
	path, method := Template(o.Path), strings.ToLower(o.Method)
	if d.paths[path] == nil {
		d.paths[path] = Schema{}
	}
	switch {
	case d.paths[path][method] != nil:
		return fmt.Errorf("it is there twice")
	case o.ID == "" || d.ids[o.ID] != "":
		return fmt.Errorf("its id %q is empty, or that of %s", o.ID, d.ids[o.ID])
	case o.Says == "" || len(o.Answers) == 0:
		return fmt.Errorf("it does not say what it does, or what it answers")
	case !slices.ContainsFunc(d.Tags, func(t Tag) bool { return t.Name == o.Tag }):
		return fmt.Errorf("it has no tag %q", o.Tag)
	}
	d.ids[o.ID] = o.Method + " " + o.Path
	op := Schema{"operationId": o.ID, "tags": []string{o.Tag}, "summary": o.Says, "security": security(o)}
	more := o.More
	if o.Scope != "" {
		more = strings.TrimSpace(more + "\n\nNeeds a key with the scope `" + o.Scope + "`.")
		op["x-scope"] = o.Scope
	}
	if more != "" {
		op["description"] = more
	}
	if ps := d.params(path, o.Params); len(ps) > 0 {
		op["parameters"] = ps
	}
	if o.Body != nil {
		op["requestBody"] = d.body(*o.Body)
	}
	answers, err := d.answers(o)
	op["responses"] = answers
	d.paths[path][method] = op
	return err
}

func security(o Operation) []Schema {
	if o.Scope != "" {
		return []Schema{{Bearer: []string{}}}
	}
	out := []Schema{}
	for _, p := range o.Proofs {
		out = append(out, Schema{p: []string{}})
	}
	return out
}

// params describes those told, and those of the path that were not.
func (d *document) params(path string, told []Param) []Schema {
	var out []Schema
	for _, part := range strings.Split(path, "/") {
		name, is := strings.CutPrefix(part, "{")
		name = strings.TrimSuffix(name, "}")
		if is && !slices.ContainsFunc(told, func(p Param) bool { return p.Name == name }) {
			told = append(slices.Clone(told), Param{Name: name, In: "path"})
		}
	}
	for _, p := range told {
		in := p.In
		if in == "" {
			in = "query"
			if strings.Contains(path, "{"+p.Name+"}") {
				in = "path"
			}
		}
		schema := p.Schema
		if schema == nil {
			schema = Schema{"type": "string"}
			if in == "path" {
				schema["minLength"] = 1
			}
		}
		s := Schema{"name": p.Name, "in": in, "schema": schema}
		if p.Says != "" {
			s["description"] = p.Says
		}
		if p.Required || in == "path" {
			s["required"] = true
		}
		if p.Example != nil {
			s["example"] = p.Example
		}
		out = append(out, s)
	}
	return out
}

func (d *document) body(b Body) Schema {
	schema, is := b.Of.(Schema)
	if !is {
		schema = d.types.decoded(b.Of, b.Needs)
	}
	media := Schema{"schema": schema}
	if len(b.Examples) > 0 {
		examples := Schema{}
		for name, v := range b.Examples {
			examples[name] = Schema{"value": v}
		}
		media["examples"] = examples
	}
	content := Schema{}
	for _, t := range orJSON(b.Types) {
		content[t] = media
	}
	return Schema{"required": !b.Optional, "content": content}
}

func orJSON(types []string) []string {
	if len(types) == 0 {
		return []string{"application/json"}
	}
	return types
}

func (d *document) answers(o Operation) (Schema, error) {
	out := Schema{}
	for _, a := range o.Answers {
		r := Schema{"description": a.Says}
		if a.Says == "" {
			r["description"] = http.StatusText(a.Status)
		}
		if a.Type != "-" {
			kind := a.Type
			if kind == "" {
				kind = "application/json"
			}
			schema, is := a.Of.(Schema)
			if !is {
				schema = d.types.of(a.Of)
			}
			r["content"] = Schema{kind: Schema{"schema": schema}}
		}
		if out[strconv.Itoa(a.Status)] != nil {
			return nil, fmt.Errorf("it answers %d twice", a.Status)
		}
		out[strconv.Itoa(a.Status)] = r
	}
	byStatus := map[int][]Fault{}
	for _, code := range o.Errors {
		f, ok := d.faults[code]
		if !ok {
			return nil, fmt.Errorf("no error has the code %q", code)
		}
		if !slices.Contains(byStatus[f.Status], f) {
			byStatus[f.Status] = append(byStatus[f.Status], f)
		}
	}
	for status, faults := range byStatus {
		if out[strconv.Itoa(status)] != nil {
			continue // an answer of its own
		}
		out[strconv.Itoa(status)] = d.refusal(o, faults)
	}
	return out, nil
}

// refusal describes the answer of one status: which codes it may hold, and what they mean.
func (d *document) refusal(o Operation, faults []Fault) Schema {
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Code, b.Code) })
	var says []string
	var codes []string
	for _, f := range faults {
		says = append(says, "`"+f.Code+"`: "+f.Says)
		codes = append(codes, f.Code)
	}
	schema := Schema{"allOf": []Schema{d.types.of(d.Envelope),
		{"properties": Schema{"error": Schema{"properties": Schema{"code": Schema{"enum": codes}}}}}}}
	if o.Envelope != nil { // what is no such path after all is answered as everywhere
		schema = Schema{"anyOf": []Schema{o.Envelope, schema}}
	}
	r := Schema{"description": strings.Join(says, "\n\n"), "content": Schema{"application/json": Schema{"schema": schema}}}
	headers := Schema{}
	if s := faults[0].Status; s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable {
		headers["Retry-After"] = Schema{"description": "Seconds after which to try again.", "required": true, "schema": Schema{"type": "integer"}}
	}
	if len(headers) > 0 {
		r["headers"] = headers
	}
	return r
}
