package canonical

import "time"

// A JobState is where a replay of many events is.
type JobState string

// The states. A job that is done, cancelled or failed never changes again.
const (
	JobPreviewing JobState = "previewing"
	JobPreviewed  JobState = "previewed" // waits for somebody to run it
	JobRunning    JobState = "running"
	JobDone       JobState = "done"
	JobCancelled  JobState = "cancelled"
	JobFailed     JobState = "failed"
)

// Over is true for a state that nothing leaves.
func (s JobState) Over() bool { return s == JobDone || s == JobCancelled || s == JobFailed }

// A ReplayJob is a replay of many events: the value of a record of type job in replays.
// Every record holds the whole job; of those with one ID the one with the highest Seq that
// came first holds, and none that follows one that is Over.
type ReplayJob struct {
	ID    string   `json:"id"` // also the replay id of its orders
	Seq   int64    `json:"seq"`
	Stamp string   `json:"stamp"` // of this record, so that its writer knows it again
	State JobState `json:"state"`
	// Kind is replay, backfill or retry: what somebody asked for.
	Kind         string    `json:"kind"`
	Selection    Selection `json:"selection"`
	Destinations []string  `json:"destinations"`
	Force        bool      `json:"force,omitempty"`
	// Run says to run it once it is previewed.
	Run    bool      `json:"run,omitempty"`
	Reason string    `json:"reason"`
	Who    string    `json:"who"` // the key's name
	At     time.Time `json:"at"`  // asked for
	// Changed is when, and By which key or process, this record was written.
	Changed time.Time `json:"changed"`
	By      string    `json:"by"`

	// End is where the events meant end, by partition of events: fixed when it was made.
	End []int64 `json:"end,omitempty"`
	// Begun and Next frame the last batch of the run: whoever resumes makes it again without
	// counting it.
	Begun JobPlace `json:"begun,omitzero"`
	Next  JobPlace `json:"next,omitzero"`
	// Walked is true once every order was appended.
	Walked bool `json:"walked,omitempty"`

	Events  int `json:"events"`            // met so far in this walk
	Missing int `json:"missing,omitempty"` // asked for, and nowhere any more, or not resolved yet
	Orders  int `json:"orders"`            // appended
	// Foreseen is what the preview said, Asked what the run found, by destination; Outcome is
	// what became of what was asked for, counted from the ledger, by destination and
	// "state reason".
	Foreseen map[string]Tally          `json:"foreseen,omitempty"`
	Asked    map[string]Tally          `json:"asked,omitempty"`
	Outcome  map[string]map[string]int `json:"outcome,omitempty"`
	Samples  []JobSample               `json:"samples,omitempty"`
	// Note says what it waits for, or why it is over.
	Note string `json:"note,omitempty"`
}

// A Selection says which events a job means. With List it is what stands on that list of
// the destinations' ledgers; with IDs alone, the events of these ids; else every event
// that the other fields let pass. Empty fields let all pass.
type Selection struct {
	IDs []EventID `json:"ids,omitempty"`
	// Since and Until bound the time named by By: occurred_at (the default) or received_at; of a
	// list, the time an entry came onto it. Until is exclusive.
	Since   *time.Time `json:"since,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
	By      string     `json:"by,omitempty"`
	Events  []string   `json:"events,omitempty"` // canonical names
	Sources []string   `json:"sources,omitempty"`
	// States are what a part is at the destination: dead, parked, suppressed, delivered, each
	// also with a reason behind a colon, or none for an event without any.
	States  []string `json:"states,omitempty"`
	List    string   `json:"list,omitempty"` // dead, held
	Reasons []string `json:"reasons,omitempty"`
}

// A JobPlace is how far a walk over a selection is: Index into ids, or the offset to read
// next of every partition of events, or a cursor behind an entry of the list of the
// destination numbered Index.
type JobPlace struct {
	Index  int     `json:"index,omitempty"`
	Events []int64 `json:"events,omitempty"`
	Cursor string  `json:"cursor,omitempty"`
}

// A Tally counts parts at one destination.
type Tally struct {
	Classes map[string]int `json:"classes"`
	Reasons map[string]int `json:"reasons,omitempty"` // "class reason", where there is one
	// Values is the money that would be sent, by currency.
	Values map[string]Money `json:"values,omitempty"`
}

// A JobSample names one part of one class.
type JobSample struct {
	Destination string   `json:"destination"`
	Event       EventKey `json:"event"`
	Part        string   `json:"part,omitempty"`
	Class       string   `json:"class"`
	Reason      string   `json:"reason,omitempty"`
}
