// Package restorerecord says how the plan and the report of a restore, and that of a restore test, are written and where they are kept.
package restorerecord
