// Package flow carries out backups, restores and deletions, phase by phase.
//
// Each run is a custom resource, and its status is the run's memory: status.step names the phase that is under way.
// A phase looks at what exists, does what is missing and returns; if the process dies after any line of it, the next
// process does the same phase again. So every effect has a deterministic name, and what must not be forgotten (a
// frozen pod) is saved before it happens.
//
//	backup   Validating -> SnapshottingVolumes -> CapturingObjects -> CleaningUp        any final error -> RollingBack
//	restore  Validating -> RestoringObjects -> WaitingForVolumes -> RunningHooks        any final error -> RollingBack
//	         -> CleaningUp -> AwaitingReadiness
//	test     as restore, in namespaces of its own; then RunningChecks -> Reporting
//	         -> CleaningUp
//	delete   Validating -> DeletingSnapshots -> DeletingArchive
//
// An error with a code ends the run (coffer.Final); any other is shown in status.message and tried again.
package flow
