package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// Metrics are what an operator alerts on. They are about what this process has seen; the run objects are the record.
type Metrics struct {
	runsEnded         *prometheus.CounterVec
	runSeconds        *prometheus.HistogramVec
	runsUnderway      *prometheus.GaugeVec
	runsInterrupted   *prometheus.CounterVec
	lastSuccess       *prometheus.GaugeVec
	warnings          *prometheus.CounterVec
	backupObjects     prometheus.Counter
	backupBytes       prometheus.Counter
	backupVolumes     *prometheus.CounterVec
	freezeSeconds     prometheus.Histogram
	restoreObjects    *prometheus.CounterVec
	locationAvailable *prometheus.GaugeVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		runsEnded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_runs_total", Help: "Runs that have ended, by kind and final phase.",
		}, []string{"kind", "phase"}),
		runSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_run_duration_seconds", Help: "Time from the start of a run to its end.",
			Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600},
		}, []string{"kind"}),
		runsUnderway: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coffer_runs_in_progress", Help: "Runs that this replica is carrying out now.",
		}, []string{"kind"}),
		runsInterrupted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_run_interruptions_total", Help: "Times that a run met an error that may pass by itself, and is tried again.",
		}, []string{"kind"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coffer_last_success_timestamp_seconds", Help: "When a run last did what it was asked, in seconds since 1970.",
		}, []string{"kind"}),
		warnings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_warnings_total", Help: "Warnings of ended runs, by kind and code; of each run the first 50.",
		}, []string{"kind", "code"}),
		backupObjects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_backup_objects_total", Help: "Objects in sealed recovery points.",
		}),
		backupBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "coffer_backup_archive_bytes_total", Help: "Bytes of the archives of sealed recovery points, compressed.",
		}),
		backupVolumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_backup_volumes_total", Help: "Claims in scope of backups, captured or skipped.",
		}, []string{"result"}),
		freezeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "coffer_backup_longest_freeze_seconds", Help: "How long the pods of a namespace were frozen at most, for each backup with hooks.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		restoreObjects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_restore_objects_total", Help: "Objects of ended restores: created, existing or failed.",
		}, []string{"result"}),
		locationAvailable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coffer_storage_location_available", Help: "1 if the storage location could be used at its last check, else 0.",
		}, []string{"name"}),
	}
	registry.MustRegister(m.runsEnded, m.runSeconds, m.runsUnderway, m.runsInterrupted, m.lastSuccess, m.warnings, m.backupObjects, m.backupBytes, m.backupVolumes, m.freezeSeconds, m.restoreObjects, m.locationAvailable)
	return m
}

// runEnded counts a run that has come to its end in this process.
func (m *Metrics) runEnded(kind string, status v1alpha1.RunStatus) {
	m.runsEnded.WithLabelValues(kind, string(status.Phase)).Inc()
	if status.StartTime != nil && status.CompletionTime != nil {
		m.runSeconds.WithLabelValues(kind).Observe(status.CompletionTime.Sub(status.StartTime.Time).Seconds())
	}
	for _, w := range status.Warnings {
		m.warnings.WithLabelValues(kind, w.Code).Inc()
	}
	if status.Phase.Succeeded() {
		m.lastSuccess.WithLabelValues(kind).Set(float64(time.Now().Unix()))
	}
}

func (m *Metrics) backupEnded(b *v1alpha1.Backup) {
	p := b.Status.Progress
	if p.LongestFreeze != nil {
		m.freezeSeconds.Observe(p.LongestFreeze.Seconds())
	}
	if !b.Status.Phase.Succeeded() {
		return
	}
	m.backupObjects.Add(float64(p.Objects))
	m.backupBytes.Add(float64(p.Bytes))
	m.backupVolumes.WithLabelValues("captured").Add(float64(p.VolumesReady))
	m.backupVolumes.WithLabelValues("skipped").Add(float64(p.VolumesSkipped))
}

func (m *Metrics) restoreEnded(r *v1alpha1.Restore) {
	p := r.Status.Progress
	m.restoreObjects.WithLabelValues("created").Add(float64(p.Created))
	m.restoreObjects.WithLabelValues("existing").Add(float64(p.Existing))
	m.restoreObjects.WithLabelValues("failed").Add(float64(p.Failed))
}
