// Package restorerecord says how the plan and the report of a restore are written and where they are kept.
package restorerecord
