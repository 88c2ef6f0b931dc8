package main

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/meter"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// meterCommand is `meter DIR VAULT INSTANCE DAYS BYTES`: in the database of a server that is stopped, a vault is as old as some days, and was
// measured to the end then, with one instance whose snapshots have so many bytes.
func meterCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: meter DIR VAULT INSTANCE DAYS BYTES")
	}
	ctx := context.Background()
	db, err := metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(ts.MkAbs(args[0]), "coffer.db")})
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	vault := catalogue.ID(args[1])
	days, err := strconv.Atoi(args[3])
	ts.Check(err)
	bytes, err := strconv.ParseInt(args[4], 10, 64)
	ts.Check(err)
	day := meter.Day(time.Now()).AddDate(0, 0, -days)
	ts.Check(db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, vault)
		if err != nil {
			return err
		}
		if err := tx.DeleteResource(ctx, vault, catalogue.Condition{}); err != nil {
			return err
		}
		r.Created.At = day
		if _, err := tx.PutResource(ctx, r, catalogue.Condition{}); err != nil {
			return err
		}
		own := catalogue.Reading{Vault: vault, Instance: vault, Day: day, Redundancy: "LocallyRedundant"}
		if err := tx.PutReading(ctx, own); err != nil {
			return err
		}
		own.Instance, own.Namespaces, own.Points, own.SnapshotBytes, own.ArchiveBytes = vault.Child("backupInstances", args[2]), 2, 14, bytes, 1024
		return tx.PutReading(ctx, own)
	}))
}
