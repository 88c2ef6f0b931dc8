package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coffer-backup/coffer/internal/decide/history"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// scheduleMetrics are what is counted of schedules.
type scheduleMetrics struct {
	slots *prometheus.CounterVec
	lag   prometheus.Histogram
}

func newScheduleMetrics(registry *prometheus.Registry) scheduleMetrics {
	m := scheduleMetrics{
		slots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_server_slots_total", Help: "Times at which backups were due, by what became of them. Missed ones of which there is no other trace are counted too.",
		}, []string{"outcome"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coffer_server_slot_lag_seconds", Help: "How long after their start backups of schedules began, in seconds.", Buckets: []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 300, 3600, 86400},
		}),
	}
	registry.MustRegister(m.slots, m.lag)
	return m
}

func (m scheduleMetrics) observe(done vault.Scheduled, lag time.Duration) {
	m.slots.WithLabelValues(string(done.Slot.Outcome)).Inc()
	m.slots.WithLabelValues("Missed").Add(float64(done.Slot.Missed))
	if done.Slot.Job != "" {
		m.lag.Observe(lag.Seconds())
	}
}

// newHistoryMetrics counts what of histories is deleted.
func newHistoryMetrics(registry *prometheus.Registry) func(kind history.Kind, deleted int) {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "coffer_server_history_deleted_total", Help: "What was deleted at the end of its time: entries of the audit log, jobs and the like.",
	}, []string{"history"})
	registry.MustRegister(m)
	for _, kind := range history.Kinds() {
		m.WithLabelValues(string(kind))
	}
	return func(kind history.Kind, deleted int) { m.WithLabelValues(string(kind)).Add(float64(deleted)) }
}
