package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/oauth"
	"tributary/internal/warehouse"
)

// A credential is what the requests of one destination or account are authorised with.
type credential struct {
	secret func(context.Context) (string, error)
	// answered is told how requests were answered; nil: a static token, of which it tells nothing.
	answered func(ctx context.Context, secret string, status int) error
	// mark tells one configured credential from another without telling it; "" where it
	// cannot be read.
	mark func() string
}

// credentials are those of a configuration: refreshed tokens once for all who share them.
type credentials struct {
	tokens *oauth.Set
	key    []byte // of marks
	kinds  map[string]destinations.Kind
}

// newCredentials opens the stored tokens of cfg.DataDir where cfg has any to refresh. key is
// the data key, which they are sealed with.
func newCredentials(cfg config.Config, key []byte, logger *slog.Logger) (*credentials, error) {
	sealer, err := warehouse.NewSealer(key)
	if err != nil {
		return nil, err
	}
	c := &credentials{kinds: map[string]destinations.Kind{}, key: key,
		tokens: &oauth.Set{Store: oauth.Store{Dir: tokensDir(cfg.DataDir), Sealer: sealer}, Logger: logger}}
	for _, k := range catalog.Kinds() {
		c.kinds[k.Name] = k
	}
	return c, nil
}

func tokensDir(dataDir string) string { return filepath.Join(dataDir, "tokens") }

// ofDestination gives a destination's credential.
func (c *credentials) ofDestination(name string, d config.Destination) credential {
	return c.of("destinations."+name, d.Token, d.OAuth, d.Kind, d.BaseURL, d.AllowPrivate)
}

// ofAccount gives a CRM account's credential.
func (c *credentials) ofAccount(name string, a config.Account) credential {
	return c.of("accounts."+name, a.Token, a.OAuth, a.Kind, a.BaseURL, a.BaseURL != "")
}

func (c *credentials) of(at string, token config.Secret, o config.OAuth, kindName, baseURL string, allowPrivate bool) credential {
	kind := c.kinds[kindName]
	if !o.Given() || kind.OAuth == nil {
		read := token.Reader()
		return credential{mark: c.marked(read), secret: func(context.Context) (string, error) {
			v, err := read()
			switch {
			case err != nil:
				return "", fmt.Errorf("%s.token: %w", at, err)
			case v == "":
				return "", fmt.Errorf("%s.token is not set: it is %s", at, kind.Credential)
			}
			return v, nil
		}}
	}
	clientSecret, refreshToken := o.ClientSecret.Reader(), o.RefreshToken.Reader()
	source := c.tokens.Source(oauth.Grant{
		Vendor: kindName, Setting: at + ".oauth.refresh_token", TokenURL: tokenURL(kind, baseURL), ClientID: o.ClientID,
		ClientSecret: clientSecret, RefreshToken: refreshToken, InParams: kind.OAuth.InParams, Ahead: kind.OAuth.Ahead, Client: delivery.NewClient(allowPrivate),
	})
	return credential{mark: c.marked(clientSecret, refreshToken), secret: source.Token, answered: source.Answered}
}

// tokenURL is where a kind's tokens are refreshed. The vendor's own address, written out, is none
// of one's own: tokens may be another host's, as LinkedIn's are.
func tokenURL(kind destinations.Kind, baseURL string) string {
	if strings.TrimSuffix(baseURL, "/") == kind.BaseURL {
		baseURL = ""
	}
	return config.TokenURL(*kind.OAuth, baseURL)
}

// marked gives the mark of what the readers read.
func (c *credentials) marked(readers ...func() (string, error)) func() string {
	return func() string {
		mac := hmac.New(sha256.New, c.key)
		fmt.Fprint(mac, "tributary credential mark 1")
		for _, read := range readers {
			v, err := read()
			if err != nil || v == "" {
				return ""
			}
			fmt.Fprintf(mac, "\x00%d\x00%s", len(v), v)
		}
		return hex.EncodeToString(mac.Sum(nil)[:16])
	}
}

// endpoint is where a destination's requests go.
func (c *credentials) endpoint(d config.Destination, dest destinations.Destination, cred credential, agent string) delivery.Endpoint {
	kind := c.kinds[d.Kind]
	base := d.BaseURL
	if base == "" {
		base = kind.BaseURL
	}
	if u := dest.Contract().BaseURL; u != "" && d.BaseURL == "" {
		base = u
	}
	e := delivery.Endpoint{BaseURL: base, Authorize: kind.Authorize, Secret: cred.secret, Answered: cred.answered, AllowPrivate: d.AllowPrivate, UserAgent: agent}
	if a, ok := dest.(destinations.Authorizer); ok {
		e.Authorize = func(r *http.Request, body []byte, secret string) { a.Authorize(r, body, secret, time.Now()) }
		if !a.NeedsSecret() {
			e.Secret = nil
		}
	}
	return e
}

// userAgent tells processes apart in a vendor's records. It holds no name of a machine.
func userAgent(instance string) string { return "tributary/" + version + " (" + instance + ")" }

// instanceName is what this process is known by: configured, else random.
func instanceName(cfg config.Config) string {
	if cfg.Instance != "" {
		return cfg.Instance
	}
	b := make([]byte, 4)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// A credentialWatch lets a destination go on that halted for its credential once another
// one is configured. It remembers, also over a restart, which one each was halted with.
type credentialWatch struct {
	path string
	mu   sync.Mutex
	used map[string]string // destination → mark of the credential last asked for; missing: it could not be read
}

const missing = "missing"

func openCredentialWatch(dataDir string) (*credentialWatch, error) {
	w := &credentialWatch{path: filepath.Join(tokensDir(dataDir), "used.json"), used: map[string]string{}}
	b, err := os.ReadFile(w.path)
	if os.IsNotExist(err) {
		return w, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &w.used)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w (it may be deleted: halted destinations then wait to be resumed by hand)", w.path, err)
	}
	return w, nil
}

// watched gives a credential whose use is remembered.
func (w *credentialWatch) watched(name string, c credential, logger *slog.Logger) credential {
	ask := c.secret
	c.secret = func(ctx context.Context) (string, error) {
		if err := w.note(name, c.mark()); err != nil {
			logger.Warn("which credential was used is not kept", "destination", name, "error", err.Error())
		}
		return ask(ctx)
	}
	return c
}

func (w *credentialWatch) note(name, mark string) error {
	if mark == "" {
		mark = missing
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used[name] == mark {
		return nil
	}
	w.used[name] = mark
	b, err := json.Marshal(w.used)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(w.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(w.path+".new", w.path)
}

// changed is true when a destination was last used here with another credential than the
// one that is configured now, and that one can be read.
func (w *credentialWatch) changed(name, mark string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, known := w.used[name]
	return known && mark != "" && mark != before
}

// credentialHalts are the reasons that another credential may mend.
var credentialHalts = []string{
	"unauthorized", "revoked", "scope_missing", "missing_scopes", "no_credential",
	// Meta's
	"token_expired", "token_revoked", "token_invalid", "app_removed", "app_unable", "user_without_role", "permission_missing", "appsecret_proof", "dataset_unknown",
}

// liftedByCredential says whether a halt is one that another credential may mend.
func liftedByCredential(word, why string) bool {
	reason, _, _ := strings.Cut(why, ":")
	return word == canonical.ControlHalt && slices.Contains(credentialHalts, reason)
}

const credentialLook = 2 * time.Second

// watchCredentials looks now and then whether a halted destination has another credential
// by now, and lets it go on: the record of that says who and why.
func (r *router) watchCredentials(ctx context.Context) error {
	tick := time.NewTicker(credentialLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for name, l := range r.lanes {
			if word, why, _ := l.Standing(); !liftedByCredential(word, why) || !r.watch.changed(name, r.marks[name]()) {
				continue
			}
			err := l.Resume(ctx, "tributary", "another credential is configured")
			if err == nil { // once for each: where another process owns the lane and was refused with this very one, it would else be lifted for ever
				err = r.watch.note(name, r.marks[name]())
			}
			if err != nil && ctx.Err() == nil {
				r.logger.Warn("a destination with another credential was not resumed, or that is not kept", "destination", name, "error", err.Error())
			}
		}
	}
}
