package eventlog

import "time"

// Topics holds the names of the five topics under one prefix.
type Topics struct {
	Inbound, Events, Deliveries, Replays, Identity string
}

// Named gives the topics under a prefix such as "tributary.".
func Named(prefix string) Topics {
	return Topics{
		Inbound: prefix + "inbound", Events: prefix + "events", Deliveries: prefix + "deliveries",
		Replays: prefix + "replays", Identity: prefix + "identity",
	}
}

// Wanted lists them as Ensure takes them. identity has one partition, so that it has
// one order, and never expires.
func (t Topics) Wanted(partitions int, retention, deliveries time.Duration) []Topic {
	return []Topic{
		{Name: t.Inbound, Partitions: partitions, Retention: retention},
		{Name: t.Events, Partitions: partitions, Retention: retention},
		{Name: t.Deliveries, Partitions: partitions, Retention: deliveries},
		{Name: t.Replays, Partitions: 1, Retention: retention},
		{Name: t.Identity, Partitions: 1},
	}
}

// The types of records, as their header says. A reader stops at one it does not know.
const (
	TypeReceipt  = "receipt"
	TypeEvent    = "event"
	TypeFate     = "fate"
	TypeFact     = "fact"
	TypeDelivery = "delivery"
	TypeReplay   = "replay"
	TypeJob      = "job"
	TypeMapping  = "mapping"
	TypeCRMSync  = "crm_sync"
)

// Schema is the version of every record type written today.
const Schema = 1
