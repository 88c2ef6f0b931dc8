package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// oweCommand is `owe DIR INSTANCE POINT FAILURE`: in the database of a server that is stopped, a recovery point has expired, and was not
// deleted by five tries.
func oweCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: owe DIR INSTANCE POINT FAILURE")
	}
	ctx := context.Background()
	db, err := metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(ts.MkAbs(args[0]), "coffer.db")})
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	instance := catalogue.ID(args[1])
	now := time.Now()
	d := catalogue.Deletion{
		Vault: instance.Parent(), Instance: instance, Point: args[2], Taken: time.Date(2026, 11, 19, 3, 0, 0, 0, time.UTC), Since: now, Next: now,
		Cluster: instance.Group() + "/providers/Microsoft.ContainerService/managedClusters/production", Bytes: 5 << 20, Work: []byte(`{"snapshotBytes":3221225472}`),
	}
	ts.Check(db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return tx.PutDeletion(ctx, d) }))
	jobs := &vault.Jobs{Keeper: &vault.Keeper{DB: db, Now: time.Now, NewID: uuid.NewString}}
	failure, err := strconv.Unquote(`"` + args[3] + `"`)
	ts.Check(err)
	for range 5 {
		ts.Check(jobs.Postpone(ctx, d, errors.New(failure)))
	}
}
