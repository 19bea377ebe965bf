package ingest

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// KindWebsite is the kind of a source whose events come from pages, with a browser key.
const KindWebsite = "website"

// A Site is what a source of kind website says of its pages. The zero value takes every page,
// sets no cookie and quarantines what no person saw.
type Site struct {
	// Origins are those of the pages: https://acme.example, or https://*.acme.example for all
	// below it. None: any.
	Origins []string
	Cookie  SiteCookie
	Bots    string   // what becomes of what no person saw: BotsQuarantine (""), BotsRefuse, BotsKeep
	Respect []string // signals of the browser that count as a no to advertising: gpc, dnt
}

// A SiteCookie is the first-party id as the server sets it. Browsers let it live longer than one
// that a script has set.
type SiteCookie struct {
	Domain string
	Life   time.Duration // 0: none is set
}

// What may become of what no person saw.
const (
	BotsQuarantine = "quarantine" // kept, as a receipt that is quarantined
	BotsRefuse     = "refuse"     // counted, and answered as if it were nothing
	BotsKeep       = "keep"       // counted, and taken like anything else
)

// site gives the site of a key: that of its source, else of the built-in one.
func (f *front) site(k Key) Site { return f.Sources[cmp.Or(k.Source, sourceWeb)].Site }

// takes is true for a page that the site's events may come from. What is no page says no origin.
func (s Site) takes(origin string) bool {
	if origin == "" || len(s.Origins) == 0 {
		return true
	}
	return slices.ContainsFunc(s.Origins, func(o string) bool {
		scheme, host, wild := strings.Cut(o, "://*.")
		if !wild {
			return o == origin
		}
		below, ok := strings.CutPrefix(origin, scheme+"://")
		return ok && strings.HasSuffix(below, "."+host)
	})
}

// share says in the answer's head whether the page may read it, and refuses pages of elsewhere.
func (s Site) share(c *gin.Context) error {
	origin := c.GetHeader("Origin")
	if len(s.Origins) == 0 {
		c.Header("Access-Control-Allow-Origin", "*")
		return nil
	}
	h := c.Writer.Header()
	h.Del("Access-Control-Allow-Origin")
	h.Add("Vary", "Origin")
	if !s.takes(origin) {
		return wrongOrigin()
	}
	if origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true") // the cookie goes along
	}
	return nil
}

func wrongOrigin() *Error {
	return fail(CodeOrigin, "the page is on a site that is none of the origins of the key's source: add it to origins in the configuration")
}

// ofPage refuses a source that an item of a browser key may not name: one that is no website, or
// one with pages elsewhere.
func (f *front) ofPage(name, origin string) *Error {
	s, ok := f.Sources[name]
	switch {
	case name != sourceWeb && (!ok || s.Kind != KindWebsite):
		return failField(CodeBadSource, "source", "a browser key may name sources of kind website only")
	case !s.Site.takes(origin):
		return wrongOrigin()
	}
	return nil
}

// optOut names the signal by which the browser says no, where the site listens to it.
func (s Site) optOut(h http.Header) string {
	switch {
	case h.Get("Sec-Gpc") == "1" && slices.Contains(s.Respect, "gpc"):
		return "gpc"
	case h.Get("Dnt") == "1" && slices.Contains(s.Respect, "dnt"):
		return "dnt"
	}
	return ""
}

// cookieName is the first-party id's; t.js has the same.
const cookieName = "_trb"

var cookieShape = regexp.MustCompile(`^[0-9A-Za-z-]{8,64}$`)

// cookie gives the first-party id that the request carries; of an image on one of the site's own pages
// that has none yet, a new one. "" where the site sets no cookie, and where somebody was led here from
// elsewhere: a link to the image would else say of its reader what it likes.
func (s Site) cookie(req *http.Request, image bool) string {
	if s.Cookie.Life <= 0 {
		return ""
	}
	from := req.Header.Get("Sec-Fetch-Site")
	if from == "cross-site" || req.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return ""
	}
	if c, err := req.Cookie(cookieName); err == nil && cookieShape.MatchString(c.Value) {
		return c.Value
	}
	if !image || from != "same-origin" && from != "same-site" {
		return ""
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// setCookie has the browser keep the id. Scripts may read it: t.js sends the same id.
func (s Site) setCookie(c *gin.Context, id string) {
	if id == "" {
		return
	}
	http.SetCookie(c.Writer, &http.Cookie{
		Name: cookieName, Value: id, Path: "/", Domain: s.Cookie.Domain, MaxAge: int(s.Cookie.Life / time.Second), Secure: true, SameSite: http.SameSiteLaxMode,
	})
}
