package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
	"tributary/internal/eventlog"
	"tributary/mappings"
	"tributary/mappings/cases"
)

// A liveMapping is the mapping that holds in this process, and what is known of its files.
// The compiled text itself is router.mapping.
type liveMapping struct {
	r       *router
	loading sync.Mutex // held by the one who loads
	every   time.Duration
	loads   *prometheus.CounterVec
	since   prometheus.Gauge

	mu       sync.Mutex
	standing mappingStanding
	files    []mappings.File // of the live one
	loaded   []mappings.File // by the last load, whether or not it was taken

	contact canonical.ContactProperties // what the destinations of this process began with
}

// mappingStanding is what GET /v1/mapping answers.
type mappingStanding struct {
	Version  string          `json:"version"`
	Since    time.Time       `json:"since"`
	By       string          `json:"by"` // start, file, signal, or the name of a key
	Process  string          `json:"process"`
	Files    []mappingFile   `json:"files"`
	Warnings []string        `json:"warnings"`
	Refused  *refusedMapping `json:"refused,omitempty"` // the last load, where it was not taken
	// AtStart says what of the live mapping holds only from the next start of the process on.
	AtStart []string `json:"at_next_start,omitempty"`
}

type mappingFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
}

// A refusedMapping is one that was not taken: the one before it stays live.
type refusedMapping struct {
	At       time.Time          `json:"at"`
	By       string             `json:"by"`
	Version  string             `json:"version,omitempty"` // "": it does not compile
	Problems []mappings.Problem `json:"problems"`
}

func (e *refusedMapping) Error() string { return problemText(e.Problems) }

// reloadEvery is how often the files are looked at. A change is loaded once two looks in a row
// found the same, so that a file is not read while somebody writes it.
const reloadEvery = 2 * time.Second

// loadedMapping is the outcome of reading and compiling the configured files.
type loadedMapping struct {
	mapping  *mappings.Mapping
	files    []mappings.File
	problems []mappings.Problem
}

func newLiveMapping(r *router, first loadedMapping) *liveMapping {
	l := &liveMapping{
		r: r, every: reloadEvery,
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_mapping_loads_total", Help: "Loads of the mapping: live, unchanged, refused.",
		}, []string{"result"}),
		since: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_mapping_live_since_seconds", Help: "When the live mapping went live, in Unix time."}),
	}
	r.registry.MustRegister(l.loads, l.since)
	l.contact = contactFields(first.mapping)
	l.stand(first, "start", time.Now().UTC())
	return l
}

// stand notes what is live from now on.
func (l *liveMapping) stand(loaded loadedMapping, by string, at time.Time) {
	s := mappingStanding{Version: loaded.mapping.Version(), Since: at, By: by, Process: l.r.instance, Files: []mappingFile{}, Warnings: []string{}}
	for _, f := range loaded.files {
		sum := sha256.Sum256(f.Text)
		s.Files = append(s.Files, mappingFile{Name: f.Name, SHA256: hex.EncodeToString(sum[:]), Bytes: len(f.Text)})
	}
	for _, p := range loaded.problems {
		s.Warnings = append(s.Warnings, p.String())
	}
	if l.waits(loaded.mapping) {
		s.AtStart = []string{contactAtStart}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.standing, l.files = s, loaded.files
	l.since.Set(float64(at.Unix()))
}

// begin makes the mapping of a starting process the live one: it must be one that may follow
// the last, and it is on record before any event carries its version.
func (l *liveMapping) begin(ctx context.Context) error {
	m := l.r.mapping.Load()
	before, known, err := l.before(ctx)
	if err != nil {
		return err
	}
	var previous *mappings.Mapping
	version := ""
	if before != nil {
		version = before.Version
		if previous, err = compileKept(*before); err != nil {
			l.r.logger.Warn("the mapping that was live before cannot be read; recipes of ids are not held against it", "version", version, "error", err.Error())
			known = false
		}
	}
	if known {
		if problems := m.CheckRecipes(previous, time.Now()); mappings.Failed(problems) {
			return wrong(errors.New(problemText(problems)))
		}
	}
	return l.record(ctx, m, l.texts(), version, "start", time.Now().UTC())
}

// reload reads the files and makes them the live mapping, or says why not: then the last good
// one stays. changed is false where the files say what is live already.
func (l *liveMapping) reload(ctx context.Context, by string) (changed bool, err error) {
	l.loading.Lock()
	defer l.loading.Unlock()
	loaded, err := readConfigured(l.r.cfg)
	if err != nil {
		loaded.problems = []mappings.Problem{{File: "mapping", Code: "unreadable", Message: err.Error()}}
	}
	l.watchAlso(loaded.files)
	live := l.r.mapping.Load()
	if err == nil && !mappings.Failed(loaded.problems) {
		loaded.problems = append(loaded.problems, loaded.mapping.CheckRecipes(live, time.Now())...)
	}
	if err == nil && !mappings.Failed(loaded.problems) {
		loaded.problems = append(loaded.problems, caseProblems(ctx, l.r.cfg, loaded)...)
	}
	now := time.Now().UTC()
	if mappings.Failed(loaded.problems) {
		return false, l.refuse(loaded, by, now)
	}
	changed = loaded.mapping.Version() != live.Version()
	if changed {
		if err := l.record(ctx, loaded.mapping, loaded.files, live.Version(), by, now); err != nil {
			return false, err
		}
		l.r.mapping.Store(loaded.mapping)
		l.stand(loaded, by, now)
		l.loads.WithLabelValues("live").Inc()
		l.r.logger.Info("mapping live", "version", loaded.mapping.Version(), "before", live.Version(), "by", by)
	} else {
		l.mu.Lock()
		l.standing.Refused = nil
		l.mu.Unlock()
		l.loads.WithLabelValues("unchanged").Inc()
	}
	l.r.health.Set("mapping", l.waiting())
	return changed, nil
}

// watchAlso looks also at what the last load read, whether or not it is taken, and at what was
// included and could not be read.
func (l *liveMapping) watchAlso(files []mappings.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = files
}

// refuse keeps the last good mapping and says everywhere that the files are not it.
func (l *liveMapping) refuse(loaded loadedMapping, by string, at time.Time) error {
	no := &refusedMapping{At: at, By: by, Problems: slices.DeleteFunc(slices.Clone(loaded.problems), func(p mappings.Problem) bool { return p.Warning })}
	if loaded.mapping != nil {
		no.Version = loaded.mapping.Version()
	}
	l.mu.Lock()
	l.standing.Refused = no
	version := l.standing.Version
	l.mu.Unlock()
	l.loads.WithLabelValues("refused").Inc()
	first, more := no.Problems[0].String(), ""
	if n := len(no.Problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	l.r.health.Set("mapping", fmt.Errorf("the changed files are not taken, %s stays live: %s%s; GET /v1/mapping lists all", version, first, more))
	l.r.logger.Error("mapping refused; the one before stays live", "live", version, "by", by, "problems", len(no.Problems), "first", first)
	return no
}

// record puts the text into the log, from where the warehouse keeps it, and into the data
// directory, so that the next start knows what was live.
func (l *liveMapping) record(ctx context.Context, m *mappings.Mapping, files []mappings.File, before, by string, at time.Time) error {
	kept := make([]canonical.MappingFile, len(files))
	for i, f := range files {
		kept[i] = canonical.MappingFile{Name: f.Name, Text: string(f.Text), Env: f.Env}
	}
	packed, err := canonical.PackMapping(kept)
	if err != nil {
		return err
	}
	b, err := json.Marshal(canonical.LiveMapping{Version: m.Version(), Before: before, At: at, Process: l.r.instance, By: by, Packed: packed, Meanings: m.Meanings()})
	if err != nil {
		return err
	}
	if _, err := l.r.log.Append(ctx, l.r.topics.Replays, eventlog.Record{Value: b, Type: eventlog.TypeMapping, Version: eventlog.Schema}); err != nil {
		return fmt.Errorf("keep the text of the mapping: %w", err)
	}
	path := l.keptAt()
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return fmt.Errorf("keep the text of the mapping: %w", err)
	}
	return os.Rename(path+".new", path)
}

func (l *liveMapping) keptAt() string { return filepath.Join(l.r.cfg.DataDir, "mapping.live") }

// before finds the mapping that was live last: by the data directory, else the log, else the
// warehouse. Without any, none was; known is false where that cannot be told.
func (l *liveMapping) before(ctx context.Context) (m *canonical.LiveMapping, known bool, err error) {
	var kept canonical.LiveMapping
	b, err := os.ReadFile(l.keptAt())
	if err == nil && json.Unmarshal(b, &kept) == nil {
		return &kept, true, nil
	}
	if m, err := l.lastLogged(ctx); m != nil || err != nil {
		return m, err == nil, err
	}
	if !l.r.connected {
		return nil, false, nil
	}
	sealed, err := l.r.warehouse.LastMapping(ctx)
	if err != nil || sealed == nil {
		return nil, err == nil, nil
	}
	m, err = l.r.openKept(sealed)
	return m, err == nil, nil
}

func (l *liveMapping) lastLogged(ctx context.Context) (last *canonical.LiveMapping, err error) {
	topic := l.r.topics.Replays
	first, end, err := l.r.log.Bounds(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("look for the mapping that was live: %w", err)
	}
	for p := range end {
		for at := first[p]; at < end[p]; {
			records, err := l.r.log.Read(ctx, topic, p, at, 1000, 5*time.Second)
			if err != nil || len(records) == 0 {
				return last, err
			}
			for _, rec := range records {
				at = rec.Offset + 1
				var m canonical.LiveMapping
				if rec.Type == eventlog.TypeMapping && json.Unmarshal(rec.Value, &m) == nil && (last == nil || m.At.After(last.At)) {
					last = &m
				}
			}
		}
	}
	return last, nil
}

// openKept opens a mapping as the warehouse keeps it.
func (r *router) openKept(sealed []byte) (*canonical.LiveMapping, error) {
	packed, err := r.sealer.Open(sealed)
	if err != nil {
		return nil, fmt.Errorf("open a mapping as the warehouse keeps it: %w", err)
	}
	return &canonical.LiveMapping{Packed: packed}, nil
}

// filesOf gives the files of a mapping that was live.
func filesOf(kept canonical.LiveMapping) ([]mappings.File, error) {
	files, err := kept.Files()
	if err != nil {
		return nil, err
	}
	texts := make([]mappings.File, len(files))
	for i, f := range files {
		texts[i] = mappings.File{Name: f.Name, Text: []byte(f.Text), Env: f.Env}
	}
	return texts, nil
}

// compileKept compiles a mapping that was live: it was held against its configuration then.
func compileKept(kept canonical.LiveMapping) (*mappings.Mapping, error) {
	texts, err := filesOf(kept)
	if err != nil {
		return nil, err
	}
	m, problems := mappings.Compile(texts...)
	if mappings.Failed(problems) {
		return nil, errors.New(problemText(problems))
	}
	return m, nil
}

// watch loads the mapping again whenever its files change or the process gets SIGHUP, until ctx
// ends. What is wrong with the files never stops it.
func (l *liveMapping) watch(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	taken := l.print(l.texts()) // a file may have changed since the start of the process
	last := taken
	load := func(seen prints, by string) {
		l.tryReload(ctx, by)
		taken = l.taken(seen)
		last = taken
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-hup:
			load(l.print(nil), "signal")
		case <-tick.C:
			now := l.print(nil)
			if maps.Equal(now, last) && !maps.Equal(now, taken) {
				load(now, "file")
				continue
			}
			last = now
		}
	}
}

// texts gives the files of the live mapping.
func (l *liveMapping) texts() []mappings.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files
}

// textsOf gives the files of a version, nil where it is not the live one.
func (l *liveMapping) textsOf(version string) []mappings.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.standing.Version != version {
		return nil
	}
	return l.files
}

func (l *liveMapping) tryReload(ctx context.Context, by string) {
	_, err := l.reload(ctx, by)
	var no *refusedMapping
	if err != nil && !errors.As(err, &no) && ctx.Err() == nil { // the log did not take it
		l.r.health.Set("mapping", fmt.Errorf("the changed files are not live: %w; reload once that is mended", err))
		l.r.logger.Error("mapping not loaded", "by", by, "error", err.Error())
	}
}

// prints tells states of files apart, by their paths.
type prints map[string]string

// unread stands for the state of a file that cannot be read.
const unread = "unread"

func printOf(text []byte) string {
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// print looks at the files: the configured ones, what they include, whether or not it can be read,
// and the cases beside them. Files given are taken as they were read.
func (l *liveMapping) print(given []mappings.File) prints {
	out := prints{}
	if len(l.r.cfg.Mapping) == 0 {
		return out
	}
	l.mu.Lock()
	paths := append(slices.Clone(l.r.cfg.Mapping), mappings.Included(l.loaded)...)
	for _, f := range append(slices.Clone(l.files), l.loaded...) {
		paths = append(paths, f.Name)
	}
	l.mu.Unlock()
	for _, f := range given {
		out[f.Name] = printOf(f.Text)
	}
	tests, _ := besides(paths)
	for _, path := range append(paths, tests...) {
		if _, had := out[path]; had {
			continue
		}
		out[path] = unread
		if text, err := os.ReadFile(path); err == nil {
			out[path] = printOf(text)
		}
	}
	return out
}

// taken is the state that a load began with: of what was seen before it, and of what it was the
// first to meet as it read that.
func (l *liveMapping) taken(seen prints) prints {
	l.mu.Lock()
	loaded := l.loaded
	l.mu.Unlock()
	out := l.print(loaded)
	for _, path := range mappings.Included(loaded) {
		if !slices.ContainsFunc(loaded, func(f mappings.File) bool { return f.Name == path }) {
			out[path] = unread
		}
	}
	for path, state := range seen {
		if _, still := out[path]; still || strings.HasSuffix(path, cases.Suffix) { // cases may have gone meanwhile: that is a change
			out[path] = state
		}
	}
	return out
}
