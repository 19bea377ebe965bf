package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tributary/destinations"
)

// Limits bound what callers may ask of the way in. docs/operations.md, "Under pressure".
type Limits struct {
	Rate         string `yaml:"rate"`  // of each key, and of each source that is proven without one
	Burst        int    `yaml:"burst"` // at once after a rest; 0: two seconds' worth
	AddressRate  string `yaml:"address_rate"`
	AddressBurst int    `yaml:"address_burst"`

	InFlight      int   `yaml:"in_flight"`       // requests at a time
	InFlightBytes int64 `yaml:"in_flight_bytes"` // of their bodies
	Connections   int   `yaml:"connections"`

	HeaderTimeout time.Duration `yaml:"header_timeout"`
	BodyTimeout   time.Duration `yaml:"body_timeout"` // for the first 64 KiB
	BodyRate      int           `yaml:"body_rate"`    // bytes a second for the rest
	WriteTimeout  time.Duration `yaml:"write_timeout"`
	IdleTimeout   time.Duration `yaml:"idle_timeout"`
	Shutdown      time.Duration `yaml:"shutdown"` // for what was begun when the process is told to stop
}

func defaultLimits() Limits {
	return Limits{
		Rate: "5000/s", AddressRate: "20/s", AddressBurst: 100, InFlight: 4096, InFlightBytes: 256 << 20, Connections: 16384,
		HeaderTimeout: 5 * time.Second, BodyTimeout: 10 * time.Second, BodyRate: 16 << 10, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, Shutdown: 15 * time.Second,
	}
}

func (c *Config) validateLimits(s *destinations.Section) {
	const at = "http.limits"
	l := c.HTTP.Limits
	rateOf(s, at, "", l.Rate, l.Burst)
	rateOf(s, at, "address_", l.AddressRate, l.AddressBurst)
	destinations.Within(s, at+".in_flight", l.InFlight, 1, 1<<20)
	destinations.Within(s, at+".in_flight_bytes", l.InFlightBytes, 8<<20, 1<<40)
	destinations.Within(s, at+".connections", l.Connections, 1, 1<<20)
	destinations.Within(s, at+".body_rate", l.BodyRate, 1, 1<<30)
	for name, d := range map[string]time.Duration{"header_timeout": l.HeaderTimeout, "body_timeout": l.BodyTimeout, "write_timeout": l.WriteTimeout, "idle_timeout": l.IdleTimeout, "shutdown": l.Shutdown} {
		destinations.Within(s, at+"."+name, d, 100*time.Millisecond, time.Hour)
	}
}

// rateOf checks a rate and its burst; "" is the one of all.
func rateOf(s *destinations.Section, at, prefix, text string, burst int) {
	if text != "" {
		if _, err := ParseRate(text); err != nil {
			s.Problem(at+"."+prefix+"rate", "%s.%srate: %v", at, prefix, err)
		}
	}
	destinations.Within(s, at+"."+prefix+"burst", burst, 0, MaxRate)
}

// MaxRate is the most that a rate may say, a second.
const MaxRate = 1_000_000

// ParseRate reads "100/s", "600/m", "3600/h", a bare number a second, or "none", which is -1.
func ParseRate(s string) (perSecond float64, err error) {
	if s == "none" {
		return -1, nil
	}
	number, unit, _ := strings.Cut(s, "/")
	seconds, ok := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || strings.HasSuffix(s, "/") || !(n > 0) || n/seconds > MaxRate {
		return 0, fmt.Errorf("%q is no rate: write 100/s, 600/m, 3600/h or none, at most %d/s", s, MaxRate)
	}
	return n / seconds, nil
}
