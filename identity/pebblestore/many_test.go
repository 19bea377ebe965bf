package pebblestore_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/pebblestore"
)

// A log of many people: contact, address and two devices each, a company for every ten of
// them, a click for every fourth, a merge of two contacts for every twentieth; now and then a
// new device of somebody seen long ago. Told person by person, each lot of them shuffled.
type manyPeople struct {
	identifiers int
}

const lot = 5_000

// tell gives the facts in pieces, the same at each call.
func (m manyPeople) tell(piece int, take func([]identity.Folded)) (facts, links, identifiers int) {
	r := rand.New(rand.NewPCG(7, 7))
	var out []identity.Folded
	flush := func() {
		if len(out) > 0 {
			take(out)
			out = out[:0]
		}
	}
	for first := 0; identifiers < m.identifiers; first += lot {
		var all []canonical.Fact
		for n := first; n < first+lot && identifiers < m.identifiers; n++ {
			all = append(all, m.person(r, n)...)
			identifiers += 4
			switch {
			case n%10 == 0:
				identifiers += 2
			case n%4 == 1:
				identifiers++
			}
			if n%8 == 3 && first > 0 {
				old := r.IntN(first)
				all = append(all, said(canonical.FactLink, r, mailOf(old), deviceOf(old, 'n'+r.IntN(1<<30))))
				identifiers++
			}
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, f := range all {
			if f.Kind == canonical.FactLink {
				links++
			}
			out = append(out, identity.Folded{Offset: int64(facts), Fact: f})
			if facts++; len(out) == piece {
				flush()
			}
		}
	}
	flush()
	return facts, links, identifiers
}

func (m manyPeople) person(r *rand.Rand, n int) []canonical.Fact {
	contact, mail, device := contactOf(n), mailOf(n), deviceOf(n, 0)
	seen := said(canonical.FactLink, r, mail, device)
	seen.Weak = true
	twin := said(canonical.FactLink, r, device, canonical.Identifier{Scheme: canonical.FBP, Value: fmt.Sprintf("fb.1.17%011d.%010d", n, n*7919)})
	twin.Weak = true
	company := canonical.Identifier{Scheme: canonical.HubSpotCompany, Value: strconv.Itoa(80_000_000 + n/10)}
	out := []canonical.Fact{said(canonical.FactLink, r, contact, mail), seen, twin, said(canonical.FactAssociation, r, contact, company)}
	switch {
	case n%10 == 0:
		out = append(out, said(canonical.FactLink, r, company, canonical.Identifier{Scheme: canonical.Domain, Value: fmt.Sprintf("company-%d.example.com", n/10)}))
	case n%4 == 1:
		f := said(canonical.FactTouch, r, device)
		f.Touch = &canonical.Touch{Kind: "ad_click", At: f.At, Source: "linkedin", Medium: "paid", Campaign: fmt.Sprintf("spring_%d", n%50),
			Page: "https://www.example.com/pricing", Clicks: []canonical.Click{{Scheme: canonical.LIFatID, Value: uuidOf("click", n), At: f.At}}}
		out = append(out, f)
	}
	if n%20 == 7 {
		out = append(out, said(canonical.FactMerge, r, contact, contactOf(n-1)))
	}
	return out
}

func contactOf(n int) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.HubSpotContact, Value: strconv.Itoa(100_000_000 + n)}
}

func mailOf(n int) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.Email, Value: canonical.SHA256(fmt.Sprintf("person-%d@example.com", n))}
}

func deviceOf(n, which int) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.Anonymous, Value: uuidOf(strconv.Itoa(which), n)}
}

func uuidOf(what string, n int) string {
	sum := sha256.Sum256([]byte(what + strconv.Itoa(n)))
	s := hex.EncodeToString(sum[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func said(kind canonical.FactKind, r *rand.Rand, nodes ...canonical.Identifier) canonical.Fact {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(r.IntN(300*86400)) * time.Second)
	return canonical.Fact{Kind: kind, At: at, Nodes: nodes}
}

// What many identifiers cost, and that a store started again and one folded anew, in other
// pieces, are the same. TRIBUTARY_IDENTITY_NODES says how many; make soak takes ten million.
func TestManyIdentifiers(t *testing.T) {
	many := manyPeople{identifiers: 40_000}
	if s := os.Getenv("TRIBUTARY_IDENTITY_NODES"); s != "" {
		var err error
		if many.identifiers, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	db, v := onDisk(t, dir)
	var took time.Duration
	facts, links, identifiers := many.tell(2000, fold(t, v, &took))
	t.Logf("folded %d facts (%d links, %d identifiers) in %s: %.0f facts/s; resident %d MB, at most %d MB",
		facts, links, identifiers, took.Round(time.Second), float64(facts)/took.Seconds(), resident("VmRSS"), resident("VmHWM"))
	want := v.Digest()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	db, v = onDisk(t, dir)
	if v.Offset() != int64(facts-1) || len(v.Known(canonical.Event{Node: contactOf(7).Node(), OccurredAt: time.Now()}).Identifiers) == 0 {
		t.Fatalf("at offset %d after %d facts", v.Offset(), facts)
	}
	t.Logf("started in %s; on disk %d MB", time.Since(began).Round(time.Millisecond), size(t, dir)>>20)
	lookUp(t, v, identifiers)
	if got := v.Digest(); got != want {
		t.Error("started again: another state")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	runtime.GC()
	db, v = onDisk(t, t.TempDir())
	took = 0
	many.tell(1731, fold(t, v, &took))
	t.Logf("folded anew in %s", took.Round(time.Second))
	if got := v.Digest(); got != want {
		t.Error("folded anew: another state")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// fold folds pieces and adds up how long that took.
func fold(t *testing.T, v *identity.View, took *time.Duration) func([]identity.Folded) {
	return func(records []identity.Folded) {
		began := time.Now()
		if err := v.Fold(records); err != nil {
			t.Fatal(err)
		}
		*took += time.Since(began)
	}
}

// lookUp asks for what is known of people: anywhere, and then of the same few again.
func lookUp(t *testing.T, v *identity.View, identifiers int) {
	r := rand.New(rand.NewPCG(3, 3))
	ask := func(n int) {
		e := canonical.Event{Node: deviceOf(n, 0).Node(), OccurredAt: time.Now()}
		if k := v.Known(e); k.Person == 0 || len(k.Identifiers) < 2 {
			t.Fatalf("person %d: %+v", n, k)
		}
	}
	people, few := identifiers/5, []int{}
	for range 2000 {
		few = append(few, r.IntN(people))
	}
	for _, what := range []string{"anywhere", "warm"} {
		took := make([]time.Duration, 0, len(few))
		for _, n := range few {
			began := time.Now()
			ask(n)
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("look-up %s: median %s, 99 %% %s; resident %d MB", what, took[len(took)/2], took[len(took)*99/100], resident("VmRSS"))
	}
}

func onDisk(t *testing.T, dir string) (*pebble.DB, *identity.View) {
	t.Helper()
	db, err := pebble.Open(dir, pebblestore.Tune(&pebble.Options{Logger: quiet{}}))
	if err != nil {
		t.Fatal(err)
	}
	return db, openView(t, pebblestore.New(db, []byte("i")))
}

// size gives the bytes of all files below a folder.
func size(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// resident gives a line of /proc/self/status in megabytes; 0 where there is none.
func resident(what string) int {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), what+":"); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb >> 10
		}
	}
	return 0
}
