package metadb

import (
	"context"
	"slices"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// instanceKeys are the keys that the instance of a job can have: its own, and that of the deleted one which can be had again.
const instanceKeys = "(j.instance, v.key || '/deletedbackupinstances/' || substr(j.instance, length(v.key) + length('/backupinstances/') + 1))"

// neededJob says whether a job is needed. Each part reads a few rows by an index.
const neededJob = "CASE WHEN EXISTS (SELECT 1 FROM resources i JOIN points p ON p.instance = i.id WHERE i.key IN " + instanceKeys + " AND p.name IN (j.name, j.point)) THEN 1" +
	" WHEN NOT EXISTS (SELECT 1 FROM resources i WHERE i.key IN " + instanceKeys + ") THEN 0" +
	" WHEN EXISTS (SELECT 1 FROM jobs n WHERE n.vault = j.vault AND n.instance = j.instance AND n.operation = j.operation" +
	" AND n.ended IS NOT NULL AND (n.ended, n.name) > (j.ended, j.name)) THEN 0 ELSE 1 END"

// EndedJobs reads a page. That jobs are needed is no condition of it: however many are, a page reads no more rows than it has.
func (v *view) EndedJobs(ctx context.Context, q catalogue.EndedJobQuery) ([]catalogue.EndedJob, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	var f filter
	f.add("j.ended < ?", micros(q.Before))
	if q.After != nil {
		if !findable(word("name", q.After.Name)) {
			return nil, nil
		}
		in, err := v.existing(ctx, q.After.Vault)
		if err != nil {
			return nil, err
		}
		var row int64 // of a vault that is gone there are no jobs: all others that ended then come, or come once more
		if in != nil {
			row = in.row
		}
		f.add("(j.ended, j.vault, j.name) > (?, ?, ?)", micros(q.After.Ended), row, q.After.Name)
	}
	return list(ctx, v, "read jobs that have ended", func(j *catalogue.EndedJob) func(scanner) error {
		return func(row scanner) error {
			var ended int64
			err := row.Scan(&j.Vault, &j.Name, &ended, &j.Needed)
			j.Ended = fromMicros(ended)
			return err
		}
	}, "SELECT v.spelling, j.name, j.ended, "+neededJob+" FROM jobs j JOIN resources v ON v.id = j.vault"+f.page("j.ended, j.vault, j.name", q.Limit), f.values...)
}

// DeleteJobs deletes some that have ended.
func (t *transaction) DeleteJobs(ctx context.Context, some ...catalogue.EndedJob) (deleted int, err error) {
	byVault := map[catalogue.ID][]string{}
	var vaults []catalogue.ID
	for _, j := range some {
		if !findable(word("name", j.Name)) {
			continue
		}
		if _, known := byVault[j.Vault]; !known {
			vaults = append(vaults, j.Vault)
		}
		byVault[j.Vault] = append(byVault[j.Vault], j.Name)
	}
	slices.Sort(vaults) // in one order, so that two who delete the same wait for each other
	for _, vault := range vaults {
		in, err := t.existing(ctx, vault)
		if err != nil {
			return deleted, err
		}
		if in == nil {
			continue
		}
		for names := range slices.Chunk(byVault[vault], maxPage) {
			var f filter
			f.add("vault = ?", in.row)
			f.among("name", names)
			f.add("ended IS NOT NULL")
			n, err := t.exec(ctx, "delete jobs", "DELETE FROM jobs"+f.where(), f.values...)
			if deleted += int(n); err != nil {
				return deleted, err
			}
		}
	}
	return deleted, nil
}
