package ingest

import (
	"net/http"
	"regexp"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/mileusna/useragent"
)

// Why no person saw what a page's request tells of.
const (
	unseenPrefetch = "prefetch" // loaded ahead, perhaps never shown
	unseenHead     = "head"     // the image's headers, without the image
	unseenHeadless = "headless" // a browser without a screen
	unseenCrawler  = "crawler"
)

var unseenReasons = []string{unseenPrefetch, unseenHead, unseenHeadless, unseenCrawler}

// agents tells by its user agent what is no person's browser. It remembers the latest.
type agents struct {
	known *lru.Cache[string, string]
}

func newAgents() *agents {
	known, err := lru.New[string, string](4096)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &agents{known: known}
}

// unseen says why no person saw what a request tells of, or "".
func (a *agents) unseen(req *http.Request) string {
	if req.Method == http.MethodHead {
		return unseenHead
	}
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := req.Header.Get(name); v != "" && (strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || v == "preview") {
			return unseenPrefetch
		}
	}
	agent := req.UserAgent()
	if agent == "" || len(agent) > maxContext {
		return ""
	}
	why, ok := a.known.Get(agent)
	if !ok {
		why = unseenAgent(agent)
		a.known.Add(agent, why)
	}
	return why
}

var (
	// mailImages are what mail services load images with when somebody opens a mail.
	mailImages = regexp.MustCompile(`GoogleImageProxy|YahooMailProxy|^Mozilla/5\.0$`)
	headless   = regexp.MustCompile(`(?i)headless|phantomjs|slimerjs|lighthouse|\bPTST/|jsdom`)
	// browser is how every browser's name begins.
	browser = regexp.MustCompile(`^(Mozilla|Opera)/`)
	// automatic holds what programs that pose as browsers add to the name: crawlers say what they
	// are, or leave an address.
	automatic = regexp.MustCompile(`(?i)bot\b|bot[/_-]|robots|crawl|spider|slurp|scan|scrap|fetch|monitor|preview|archiv|analy[sz]er|sitemap|link ?check|checker|validator|synthetic|agent[/-]|-agent|` +
		`https?:|www\.|\S@\S|python|curl|wget|java/|go-http|libwww|axios|okhttp|httpclient|facebookexternal|playwright|puppeteer|selenium|pingdom`)
)

// unseenAgent judges a user agent that is not empty.
func unseenAgent(agent string) string {
	agent = strings.ReplaceAll(agent, "CUBOT", "") // makes telephones
	switch {
	case mailImages.MatchString(agent):
		return ""
	case headless.MatchString(agent):
		return unseenHeadless
	case !browser.MatchString(agent), automatic.MatchString(agent), useragent.Parse(agent).Bot:
		return unseenCrawler
	}
	return ""
}
