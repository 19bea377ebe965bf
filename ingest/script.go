package ingest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/js"
)

// pageSource is the script as it is written; docs/pixel.md says what it does.
//
//go:embed script/t.js
var pageSource []byte

// A served script is what GET /t.js answers, with its gzip and what tells two versions apart.
type served struct {
	plain, packed []byte
	etag          string
}

// script makes the served form once.
var script = sync.OnceValues(func() (served, error) {
	var plain, packed bytes.Buffer
	if err := js.Minify(minify.New(), &plain, bytes.NewReader(pageSource), nil); err != nil {
		return served{}, fmt.Errorf("minify t.js: %w", err)
	}
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(plain.Bytes())
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return served{}, fmt.Errorf("pack t.js: %w", err)
	}
	sum := sha256.Sum256(plain.Bytes())
	return served{plain: plain.Bytes(), packed: packed.Bytes(), etag: `"` + hex.EncodeToString(sum[:8]) + `"`}, nil
})

// pageScript serves the script of pages: GET /t.js. It is the same for everybody; what differs
// from site to site stands in the page.
func (f *front) pageScript(c *gin.Context, _ *request) error {
	s, err := script()
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("ETag", s.etag)
	h.Set("Cache-Control", "public, max-age=3600, stale-while-revalidate=86400")
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*") // for pages that name its hash (integrity)
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if strings.Contains(c.GetHeader("If-None-Match"), s.etag) {
		c.Status(http.StatusNotModified)
		c.Writer.WriteHeaderNow()
		return nil
	}
	body := s.plain
	if strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = s.packed
	}
	c.Data(http.StatusOK, "text/javascript; charset=utf-8", body)
	return nil
}
