package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// slotCommand is `slot DIR INSTANCE TIME OUTCOME JOB MISSED`: in the database of a server that is stopped, a slot of an instance, before which
// so many hourly ones were missed. An instance that is not there is made, as bare as can be.
func slotCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 6 {
		ts.Fatalf("usage: slot DIR INSTANCE TIME OUTCOME JOB MISSED")
	}
	ctx := context.Background()
	db, err := metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(ts.MkAbs(args[0]), "coffer.db")})
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	at, err := time.Parse(time.RFC3339, args[2])
	ts.Check(err)
	missed, err := strconv.Atoi(args[5])
	ts.Check(err)
	s := catalogue.Slot{Instance: catalogue.ID(args[1]), At: at, Outcome: catalogue.SlotOutcome(args[3]), Job: args[4], Noted: at.Add(time.Minute), Missed: missed}
	if missed > 0 {
		s.Since = at.Add(-time.Duration(missed) * time.Hour)
	}
	ts.Check(db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if _, err := tx.Resource(ctx, s.Instance); err != nil {
			r := catalogue.Resource{ID: s.Instance, Body: []byte("{}"), Facts: []byte("{}")}
			if _, err := tx.PutResource(ctx, r, catalogue.Condition{New: true}); err != nil {
				return err
			}
		}
		return tx.AddSlot(ctx, s)
	}))
}
