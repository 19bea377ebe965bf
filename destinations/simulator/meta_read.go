package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
)

// A metaRequest is a request body in any of the three encodings.
type metaRequest struct {
	fields map[string]any
	data   []metaElement
}

// A metaElement is one element of data, as it came and as it reads; nil where it is not JSON.
type metaElement struct {
	raw   string
	value any
}

// metaForm reads the body. data may be an array or a text that holds one, and so may its
// elements be.
func metaForm(c *call) (metaRequest, *metaError) {
	req := metaRequest{fields: make(map[string]any)}
	if err := req.read(c); err != nil {
		if errors.Is(err, errNoList) {
			return req, metaInvalid("data", "Param data must be an array")
		}
		return req, metaInvalid("", err.Error())
	}
	return req, nil
}

var errNoList = errors.New("data is no array")

func (req *metaRequest) read(c *call) error {
	kind, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	values := make(map[string]string)
	var err error
	switch kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(c.body))
		if err != nil {
			return errors.New("the form cannot be read")
		}
		for k := range form {
			values[k] = form.Get(k)
		}
		if list := form["data[]"]; len(list) > 0 {
			text, err := json.Marshal(list)
			if err != nil {
				return err
			}
			values["data"] = string(text)
		}
	case "multipart/form-data":
		if values, err = multipartValues(c.body, params["boundary"]); err != nil {
			return errors.New("the form cannot be read")
		}
	default:
		return req.readJSON(string(c.body))
	}
	for k, v := range values {
		req.fields[k] = v
	}
	if values["data"] == "" {
		return nil
	}
	return req.readText(values["data"])
}

func (req *metaRequest) readJSON(body string) error {
	p := scanner{in: body}
	broken := errors.New("the body is not a JSON object")
	if p.next() != '{' {
		return broken
	}
	wrong := false
	err := p.members(func(key string) error {
		if key != "data" {
			v, err := p.value()
			req.fields[key] = v
			return err
		}
		req.data, wrong = nil, false
		if p.next() == '[' {
			return req.elements(&p)
		}
		v, err := p.value()
		if text, ok := v.(string); ok && err == nil {
			wrong = req.readText(text) != nil
		} else {
			wrong = v != nil
		}
		return err
	})
	if p.space(); err != nil || p.at != len(body) {
		return broken
	}
	if wrong {
		return errNoList
	}
	return nil
}

// readText reads data that came as a text.
func (req *metaRequest) readText(text string) error {
	p := scanner{in: text}
	if p.next() != '[' || req.elements(&p) != nil {
		return errNoList
	}
	if p.space(); p.at != len(text) {
		return errNoList
	}
	return nil
}

func (req *metaRequest) elements(p *scanner) error {
	return p.elements(func() error {
		p.space()
		begin := p.at
		v, err := p.value()
		e := metaElement{raw: p.in[begin:p.at], value: v}
		if text, ok := v.(string); ok {
			e.raw = text
			if e.value, err = parse(text); err != nil {
				e.value, err = nil, nil
			}
		}
		req.data = append(req.data, e)
		return err
	})
}

// multipartValues reads the fields of a multipart body that is already bounded.
func multipartValues(body []byte, boundary string) (map[string]string, error) {
	out := make(map[string]string)
	in := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := in.NextPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		out[part.FormName()] = string(text)
	}
}
