package main

import (
	"tributary/ingest"
	"tributary/internal/config"
)

// rateOf gives a rate that the configuration was checked for.
func rateOf(text string, burst int) ingest.Rate {
	if text == "" {
		return ingest.Rate{}
	}
	n, _ := config.ParseRate(text)
	return ingest.Rate{PerSecond: n, Burst: burst}
}

// limitsOf gives the limits as the way in knows them.
func limitsOf(l config.Limits) ingest.Limits {
	return ingest.Limits{
		Rate: rateOf(l.Rate, l.Burst), AddressRate: rateOf(l.AddressRate, l.AddressBurst), MaxInFlight: l.InFlight, InFlightBytes: int(l.InFlightBytes),
		BodyGrace: l.BodyTimeout, BodyRate: l.BodyRate, WriteAnswer: l.WriteTimeout,
	}
}
