// Package arch holds the house of docs/design.md to its plan: which package may import
// which, what the pure ones may not reach, and a few habits that we do not want back.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "tributary"

// A house is the module as its source says it is. Test files are no part of it.
type house struct {
	files    []file
	packages map[string][]string // what each of our packages imports, by its folder
}

type file struct {
	name string // from the repository's root
	dir  string
	tree *ast.File
	at   *token.FileSet
}

func readHouse(t *testing.T) house {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	h := house{packages: map[string][]string{}}
	at := token.NewFileSet()
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if base := d.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(at, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := file{name: rel, dir: path.Dir(rel), tree: tree, at: at}
		h.files = append(h.files, f)
		for _, i := range f.imports() {
			if !slices.Contains(h.packages[f.dir], i) {
				h.packages[f.dir] = append(h.packages[f.dir], i)
			}
		}
		if h.packages[f.dir] == nil {
			h.packages[f.dir] = []string{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.packages) < 20 {
		t.Fatalf("only %d packages were found", len(h.packages))
	}
	return h
}

func (f file) imports() []string {
	var out []string
	for _, i := range f.tree.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

// ours gives the folder of one of our own packages, or "".
func ours(imported string) string {
	if dir, ok := strings.CutPrefix(imported, module+"/"); ok {
		return dir
	}
	return ""
}

// within is true for a folder and those below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// reach lists what a package imports of ours, directly or not, each with the way there.
func (h house) reach(dir string) map[string]string {
	ways := map[string]string{}
	var walk func(dir, way string)
	walk = func(dir, way string) {
		for _, i := range h.packages[dir] {
			to := ours(i)
			if to == "" || ways[to] != "" {
				continue
			}
			ways[to] = way + " -> " + to
			walk(to, ways[to])
		}
	}
	walk(dir, dir)
	return ways
}

// adapters are the vendors' packages: every folder of destinations that the catalog lists.
func (h house) adapters(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, i := range h.packages["destinations/catalog"] {
		if dir := ours(i); path.Dir(dir) == "destinations" {
			out = append(out, dir)
		}
	}
	if len(out) < 4 {
		t.Fatalf("the catalog lists only %v", out)
	}
	return out
}

// The arrows of docs/design.md §4: what each part of the house may import of ours. A
// part is a folder and those below it, unless they have a line of their own. What has no
// line may import anything: cmd, and the tests' own packages.
func TestArrows(t *testing.T) {
	h := readHouse(t)
	arrows := map[string][]string{
		"canonical":                   {},
		"canonical/wire":              {"canonical"},
		"mappings":                    {"canonical"},
		"mappings/cases":              {"canonical", "mappings"},
		"identity":                    {"canonical"},
		"identity/memstore":           {"canonical", "identity"},
		"identity/pebblestore":        {"canonical", "identity"},
		"destinations":                {"canonical"},
		"destinations/delivery":       {"canonical", "destinations", "internal/budget", "internal/eventlog"},
		"destinations/simulator":      {},
		"ingest":                      {"canonical", "canonical/wire", "internal/openapi"},
		"internal/alert":              {"destinations"},
		"internal/budget":             {"destinations"},
		"internal/config":             {"canonical", "destinations"},
		"internal/eventlog":           {},
		"internal/eventlog/embedded":  {"internal/eventlog"},
		"internal/eventlog/kafkalog":  {"internal/eventlog"},
		"internal/eventlog/memlog":    {"internal/eventlog"},
		"internal/warehouse":          {"canonical"},
		"internal/warehouse/embedded": {},
		"internal/hubspotcrm":         {"canonical", "canonical/wire", "destinations", "internal/budget"},
		"internal/oauth":              {"destinations"},
		"internal/openapi":            {},
		"internal/rehearsal": {
			"canonical", "canonical/wire", "identity", "identity/memstore", "mappings", "mappings/cases", "destinations", "destinations/delivery",
			"internal/eventlog", "internal/pipeline",
		},
		"internal/pipeline": {
			"canonical", "canonical/wire", "identity", "mappings", "destinations", "destinations/delivery",
			"internal/eventlog", "internal/hubspotcrm", "internal/warehouse",
		},
	}
	for _, a := range h.adapters(t) {
		arrows[a] = []string{"canonical", "destinations"}
	}
	for part, may := range arrows {
		imports, ok := h.packages[part]
		if !ok {
			t.Errorf("%s is not there: mend this test or docs/design.md", part)
			continue
		}
		for _, i := range imports {
			if to := ours(i); to != "" && !slices.Contains(may, to) {
				t.Errorf("%s imports %s; it may import %v of ours", part, to, may)
			}
		}
	}
}

// What would be wrong however long the way there is.
func TestWhatMustNotBeReached(t *testing.T) {
	h := readHouse(t)
	adapters := h.adapters(t)
	for dir := range h.packages {
		never := map[string]string{}
		switch {
		case within(dir, "destinations/simulator"):
			for other := range h.packages {
				never[other] = "the simulator is a second opinion and knows nothing of ours"
			}
		case within(dir, "destinations/delivery"):
			for _, a := range append(adapters, "destinations/catalog") {
				never[a] = "delivery is the same for every vendor"
			}
		case within(dir, "ingest"):
			for _, d := range []string{"internal/pipeline", "identity", "mappings", "destinations"} {
				never[d] = "ingest keeps what comes and does not look into it"
			}
		case slices.Contains(adapters, dir):
			for _, a := range adapters {
				never[a] = "no vendor knows another"
			}
			never["destinations/delivery"] = "an adapter does not send"
		}
		if !within(dir, "cmd") {
			for other := range h.packages {
				if within(other, "cmd") {
					never[other] = "commands are the top"
				}
			}
		}
		for to, way := range h.reach(dir) {
			if why := never[to]; why != "" {
				t.Errorf("%s: %s", way, why)
			}
		}
	}
}

// Pure packages decide; they do not look at files, the network, the clock, chance or the
// environment, and they log nothing.
func TestPurePackages(t *testing.T) {
	h := readHouse(t)
	pure := append([]string{"canonical", "canonical/wire", "mappings", "mappings/cases", "identity", "destinations"}, h.adapters(t)...)
	banned := []string{
		"os", "os/exec", "io/ioutil", "net", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "syscall",
	}
	// net/http in destinations names methods, headers and statuses: a client or a server
	// is another matter, below.
	values := []string{"net/http"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	client := []string{
		"Get", "Head", "Post", "PostForm", "DefaultClient", "Client", "DefaultTransport", "Transport", "Server", "ListenAndServe", "ListenAndServeTLS",
		"Serve", "Handle", "HandleFunc", "DefaultServeMux", "NewServeMux", "FileServer",
	}
	for _, f := range h.files {
		if !slices.Contains(pure, f.dir) {
			continue
		}
		for _, i := range f.imports() {
			if slices.Contains(banned, i) || slices.Contains(values, i) && !within(f.dir, "destinations") {
				t.Errorf("%s imports %s", f.name, i)
			}
		}
		f.calls(func(pkg, name string, at token.Position) {
			switch {
			case pkg == "time" && slices.Contains(clock, name):
				t.Errorf("%s:%d reads the clock: time.%s", f.name, at.Line, name)
			case pkg == "net/http" && slices.Contains(client, name):
				t.Errorf("%s:%d does I/O: http.%s", f.name, at.Line, name)
			}
		})
	}
}

// calls tells each use of an imported package's name.
func (f file) calls(say func(pkg, name string, at token.Position)) {
	names := map[string]string{}
	for _, i := range f.tree.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = p
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
			say(names[x.Name], sel.Sel.Name, f.at.Position(sel.Pos()))
		}
		return true
	})
}

// Nothing registers itself, and no package is named for not having found its home.
func TestHabits(t *testing.T) {
	h := readHouse(t)
	homeless := regexp.MustCompile(`^(utils?|common|helpers?|misc|shared|base|lib)$`)
	for _, f := range h.files {
		if homeless.MatchString(f.tree.Name.Name) || homeless.MatchString(path.Base(f.dir)) {
			t.Errorf("%s: package %s has not found its home", f.name, f.tree.Name.Name)
		}
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s:%d has an init function; build things where they are used", f.name, f.at.Position(fn.Pos()).Line)
			}
		}
		for _, i := range f.imports() {
			if strings.HasSuffix(i, "/prometheus/promauto") {
				t.Errorf("%s imports promauto: metrics are registered where a Registerer is handed in", f.name)
			}
		}
		f.calls(func(pkg, name string, at token.Position) {
			global := []string{"MustRegister", "Register", "DefaultRegisterer", "DefaultGatherer"}
			if strings.HasSuffix(pkg, "/client_golang/prometheus") && slices.Contains(global, name) {
				t.Errorf("%s:%d uses the global registry: prometheus.%s", f.name, at.Line, name)
			}
		})
	}
}

// Every package that can be imported says what it is.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	h := readHouse(t)
	said := map[string]bool{}
	for _, f := range h.files {
		said[f.dir] = said[f.dir] || f.tree.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}
