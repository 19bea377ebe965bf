package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"tributary/destinations/catalog"
	"tributary/ingest"
	"tributary/internal/config"
)

// A client asks the running process over HTTP: of the configured data directory, or the
// one named by TRIBUTARY_URL with the key in TRIBUTARY_KEY.
type client struct {
	base, key string
}

func dial(o *options) (*client, error) {
	if u := os.Getenv("TRIBUTARY_URL"); u != "" {
		return &client{base: u, key: os.Getenv("TRIBUTARY_KEY")}, nil
	}
	cfg, err := config.Load(o.config, catalog.Kinds())
	if err != nil {
		return nil, wrong(err)
	}
	f, err := readLocal(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	scheme := "http://"
	if cfg.HTTP.CertFile != "" {
		scheme = "https://"
	}
	return &client{base: scheme + f.Address, key: f.Key}, nil
}

// call sends body (nil: none) and reads the answer into into (nil: not read).
func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		text = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	res, err := c.do(ctx, method, path, text)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

// do sends a request and gives the answer, whose body the caller closes, or what the router
// says is wrong.
func (c *client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Authorization", "Bearer "+c.key)
	q.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(q)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNotRunning
	}
	if err != nil || res.StatusCode/100 == 2 {
		return res, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	var e struct {
		Error answered `json:"error"`
	}
	if json.Unmarshal(answer, &e) == nil && e.Error.Code != "" {
		return nil, &e.Error
	}
	return nil, fmt.Errorf("the router answered %s", res.Status)
}

// An answered error is what the router says is wrong with a request, by its table of errors.
type answered struct {
	Code    ingest.Code `json:"code"`
	Message string      `json:"message"`
}

func (e *answered) Error() string { return string(e.Code) + ": " + e.Message }

// mappingRefused gives what the router says of a mapping with mistakes, behind what it means
// here; other errors stay as they are.
func mappingRefused(err error, means string) error {
	var e *answered
	if errors.As(err, &e) && e.Code == ingest.CodeMapping {
		return wrong(fmt.Errorf("%s:\n%s", means, e.Message))
	}
	return err
}

// copy writes an answer out as it comes, however long that takes.
func (c *client) copy(ctx context.Context, path string, to io.Writer) error {
	res, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(to, res.Body)
	return err
}

func escaped(s string) string { return url.PathEscape(s) }

// printJSON writes v as people and programs can both read it.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}
