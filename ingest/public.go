package ingest

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// A publicURL is the address that callers use: base, where it is configured, else what the request
// says, by the word of a proxy only where that is one of those trusted.
type publicURL struct {
	base    string
	trusted []netip.Prefix
}

func parsePublicURL(s string, proxies []string) (publicURL, error) {
	var p publicURL
	for _, v := range proxies {
		network, err := netip.ParsePrefix(v)
		if addr, alone := netip.ParseAddr(v); alone == nil {
			network, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			return p, fmt.Errorf("trusted proxy %q is no address and no network", v)
		}
		p.trusted = append(p.trusted, network)
	}
	if s == "" {
		return p, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return p, fmt.Errorf("public_url %q is not an address such as https://in.example.com", s)
	}
	p.base = strings.TrimSuffix(s, "/")
	return p, nil
}

// of gives a request's URI as its sender saw it: path and query exactly as they came.
func (p publicURL) of(r *http.Request) string {
	path := r.RequestURI
	if !strings.HasPrefix(path, "/") {
		path = r.URL.RequestURI()
	}
	if p.base != "" {
		return p.base + path
	}
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if p.proxied(r) {
		if v := outermost(r.Header.Get("X-Forwarded-Proto")); v == "http" || v == "https" {
			scheme = v
		}
		if v := outermost(r.Header.Get("X-Forwarded-Host")); v != "" {
			host = v
		}
	}
	return scheme + "://" + host + path
}

// proxied is true for a request that comes over a proxy whose word is taken.
func (p publicURL) proxied(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && slices.ContainsFunc(p.trusted, func(n netip.Prefix) bool { return n.Contains(at.Addr().Unmap()) })
}

// outermost is what the first of several proxies said.
func outermost(list string) string {
	v, _, _ := strings.Cut(list, ",")
	return strings.ToLower(strings.TrimSpace(v))
}

// unsaid gives a URI without the values of its query, which may name a person or hold a secret.
func unsaid(uri string) string {
	path, query, ok := strings.Cut(uri, "?")
	if !ok {
		return path
	}
	parts := strings.Split(query, "&")
	for i, v := range parts {
		name, _, valued := strings.Cut(v, "=")
		if parts[i] = "…"; valued {
			parts[i] = name + "=…"
		}
	}
	return path + "?" + strings.Join(parts, "&")
}
