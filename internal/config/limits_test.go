package config_test

import (
	"testing"

	"tributary/ingest"
	"tributary/internal/config"
)

func TestParseRate(t *testing.T) {
	for s, want := range map[string]float64{"100/s": 100, "5": 5, "0.5/s": .5, "600/m": 10, "30/m": .5, "36/h": .01, "none": -1, "1000000/s": 1e6} {
		r, err := config.ParseRate(s)
		if err != nil || r != want {
			t.Errorf("%s: %v, %v", s, r, err)
		}
		text := ingest.Rate{PerSecond: r}.String()
		if again, err := config.ParseRate(text); err != nil || again != r {
			t.Errorf("%s is written %q, which is %v, %v", s, text, again, err)
		}
	}
	for _, s := range []string{"", "0/s", "-1/s", "100/d", "x/s", "1e9/s", "NaN", "Inf/s", "100/s/s", "/s"} {
		if r, err := config.ParseRate(s); err == nil {
			t.Errorf("%q is %v", s, r)
		}
	}
}
