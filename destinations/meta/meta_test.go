package meta

import (
	"testing"

	"tributary/canonical"
	"tributary/destinations/destinationtest"
)

var suite = destinationtest.Suite{
	Kind:   Kind(),
	Config: "dataset_id: 111222333444555\ntest_event_code: TEST12345\n",
	Route:  canonical.Route{Event: "Purchase", Value: "amount", At: "default.yaml:40"},
}

func TestSuite(t *testing.T)      { suite.Run(t) }
func TestGolden(t *testing.T)     { suite.Golden(t) }
func TestReadme(t *testing.T)     { suite.Readme(t) }
func FuzzClassify(f *testing.F)   { suite.Fuzz(f) }
func BenchmarkBuild(b *testing.B) { suite.Bench(b) }
