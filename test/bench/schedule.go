package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// Of the scheduler-lag and retention rows: how many instances a cluster has.
const perCluster = 10

// schedulerLag measures how late the last but one in a hundred of many backups begins that are all due in one slot: on SQLite, and on
// PostgreSQL with two replicas of the server. Clusters are in the catalogue only: what begins is the job.
func schedulerLag(ctx context.Context, instances int) ([]row, error) {
	return onBoth("scheduler-lag", func(name, database string) ([]row, error) {
		s, err := newScheduled(ctx, database)
		if err != nil {
			return nil, err
		}
		defer s.close()
		// Far enough for the servers to be there, and to have looked at all instances once.
		slot := time.Now().UTC().Add(2 * time.Minute).Truncate(time.Minute)
		if err := s.fill(ctx, instances, 0, "R/"+slot.Format(time.RFC3339)+"/P1D"); err != nil {
			return nil, err
		}
		if err := s.start(ctx); err != nil {
			return nil, err
		}
		if left := time.Until(slot); left < 10*time.Second {
			return nil, fmt.Errorf("the servers took until %s before the slot: this machine is too slow", left)
		}
		lags, err := s.lags(ctx, instances, slot)
		if err != nil {
			return nil, err
		}
		return []row{newRow("scheduler-lag-"+name, []float64{lags[len(lags)*99/100]}, []float64{60}, "s", "<= 1.0",
			fmt.Sprintf("p99 of the time from the slot to the beginning of each of %d backups, none of them staggered, in %s with %d servers; the last after %.1f s", instances, name, s.servers(), lags[len(lags)-1]))}, nil
	})
}

// retentionSweep measures how long it takes to judge many recovery points, of which one in a hundred has expired.
func retentionSweep(ctx context.Context, instances, points int) ([]row, error) {
	return onBoth("retention-sweep", func(name, database string) ([]row, error) {
		s, err := newScheduled(ctx, database)
		if err != nil {
			return nil, err
		}
		defer s.close()
		say("retention-sweep: filling %s with %d instances and %d recovery points", name, instances, points)
		if err := s.fill(ctx, instances, points/instances, "R/2190-01-01T00:00:00Z/P1D"); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := s.start(ctx); err != nil {
			return nil, err
		}
		up := time.Since(began)
		// Vault by vault: to count again and again what is owed would take half of the machine.
		owed := 0
		err = await(ctx, 10*time.Minute, "what has expired is owed", func(ctx context.Context) (bool, error) {
			for owed < apiVaults {
				if n, err := s.owed(ctx, owed); err != nil || n < instances/apiVaults {
					return false, err
				}
				owed++
			}
			return true, nil
		})
		took := time.Since(began)
		return []row{newRow("retention-sweep-"+name, []float64{took.Seconds()}, []float64{30}, "s", "<= 1.0",
			fmt.Sprintf("from the start of %d servers on, %.1f s of which they took to answer, until %d recovery points of %d instances in %s are judged, and %d are owed to their clusters",
				s.servers(), up.Seconds(), points, instances, name, instances))}, err
	})
}

// onBoth makes rows on each database.
func onBoth(what string, run func(name, database string) ([]row, error)) (all []row, err error) {
	shared := os.Getenv("COFFER_SERVICE_POSTGRES")
	if os.Getenv("COFFER_BENCH_SERVER") == "" || shared == "" {
		return nil, errors.New("COFFER_BENCH_SERVER names no server, or there is no PostgreSQL: run hack/bench")
	}
	for _, d := range []struct{ name, database string }{{"sqlite", ""}, {"postgres", shared}} {
		rows, err := run(d.name, d.database)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", what, d.name, err)
		}
		all = append(all, rows...)
	}
	return all, nil
}

// scheduled is a catalogue of instances with policies, and the servers on it.
type scheduled struct {
	folder, database, subscription string
	processes                      []*exec.Cmd
	db                             *metadb.Database
}

// newScheduled makes the catalogue as a server does at its first start.
func newScheduled(ctx context.Context, database string) (*scheduled, error) {
	folder, err := os.MkdirTemp("", "coffer-bench-schedule-")
	if err != nil {
		return nil, err
	}
	s := &scheduled{folder: folder, database: database}
	if database != "" {
		// Rows before it have left theirs.
		if s.database, err = newSchema(ctx, database); err != nil {
			return nil, err
		}
		if err := os.WriteFile(s.key(), []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
			return nil, err
		}
	}
	c, err := startServer(ctx, os.Getenv("COFFER_BENCH_SERVER"), s.data(0), s.args(0))
	if err != nil {
		s.close()
		return nil, err
	}
	c.stop()
	s.subscription = c.subscription
	if s.database == "" {
		s.db, err = metadb.OpenSQLite(ctx, metadb.SQLite{File: filepath.Join(s.data(0), "coffer.db")})
	} else {
		s.db, err = metadb.OpenPostgres(ctx, metadb.Postgres{URL: s.database})
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// newSchema is a PostgreSQL with a schema of its own.
func newSchema(ctx context.Context, server string) (string, error) {
	address, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	name := "bench_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		return "", err
	}
	values := address.Query()
	values.Set("search_path", name)
	address.RawQuery = values.Encode()
	return address.String(), nil
}

func (s *scheduled) key() string { return filepath.Join(s.folder, "encryption.key") }

func (s *scheduled) data(n int) string { return filepath.Join(s.folder, fmt.Sprint("server-", n)) }

func (s *scheduled) servers() int {
	if s.database == "" {
		return 1
	}
	return 2
}

func (s *scheduled) args(n int) []string {
	listen := apiListen
	if n > 0 {
		listen = "127.0.0.1:28444"
	}
	args := []string{"--data-dir", s.data(n), "--listen", listen, "--status-listen", "", "--link-listen", "", "--log-level", "error"}
	if s.database != "" {
		args = append(args, "--database", s.database, "--encryption-key", s.key())
	}
	return args
}

// start starts the servers.
func (s *scheduled) start(ctx context.Context) error {
	c, err := startServer(ctx, os.Getenv("COFFER_BENCH_SERVER"), s.data(0), s.args(0))
	if err != nil {
		return err
	}
	s.processes = append(s.processes, c.process)
	for n := 1; n < s.servers(); n++ {
		another := exec.CommandContext(ctx, os.Getenv("COFFER_BENCH_SERVER"), s.args(n)...) //nolint:gosec // The program that was just built.
		another.Stderr = os.Stderr
		if err := another.Start(); err != nil {
			return err
		}
		s.processes = append(s.processes, another)
	}
	return nil
}

func (s *scheduled) close() {
	for _, p := range s.processes {
		_ = p.Process.Kill()
		_ = p.Wait()
	}
	if s.db != nil {
		_ = s.db.Close()
	}
	_ = os.RemoveAll(s.folder)
}

// fill writes instances of a policy in each of ten vaults, with recovery points of which the oldest has expired.
func (s *scheduled) fill(ctx context.Context, instances, points int, interval string) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	stamp := catalogue.Stamp{By: "bench", At: now}
	put := func(tx catalogue.Tx, id catalogue.ID, body, facts string, links ...catalogue.Link) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{
			ID: id, Body: json.RawMessage(body), Facts: json.RawMessage(facts), Links: links, Created: stamp, Changed: stamp,
		}, catalogue.Condition{})
		return err
	}
	group := catalogue.ID("/subscriptions/" + s.subscription + "/resourceGroups/bench")
	err := s.db.Update(ctx, func(_ context.Context, tx catalogue.Tx) error {
		err := put(tx, group, `{"location":"here"}`, "{}")
		for v := range apiVaults {
			id := catalogue.ID(vaultOf(s.subscription, v))
			err = errors.Join(err,
				put(tx, id, `{"location":"here","properties":{"storageSettings":[{"datastoreType":"OperationalStore","type":"LocallyRedundant"}]}}`, "{}"),
				put(tx, id.Child("backupPolicies", "daily"), strings.Replace(scheduledPolicy, "INTERVAL", interval, 1), "{}"))
		}
		return err
	})
	for n := 0; n < instances && err == nil; n += perCluster {
		cluster := group.Child("providers/Microsoft.ContainerService/managedClusters", fmt.Sprintf("aks-%05d", n/perCluster))
		err = s.db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
			err := put(tx, cluster, `{"location":"here"}`, `{"properties":{"coffer":{"state":"Disconnected"}}}`)
			for i := n; i < min(n+perCluster, instances) && err == nil; i++ {
				id := catalogue.ID(instanceOf(s.subscription, i%apiVaults, i))
				err = errors.Join(
					put(tx, id, scheduledInstance(id, cluster), `{"properties":{"currentProtectionState":"ProtectionConfigured","provisioningState":"Succeeded"}}`,
						catalogue.Link{Relation: catalogue.LinkDatasource, Target: cluster.Key()}, catalogue.Link{Relation: catalogue.LinkPolicy, Target: id.Parent().Child("backupPolicies", "daily").Key()}),
					tx.PutDue(ctx, catalogue.Due{Instance: id, At: now}), agedPoints(ctx, tx, id, points, now))
			}
			return err
		})
	}
	return err
}

// agedPoints are one a day, the oldest of which has expired half a day ago, and the next of which expires in half a day.
func agedPoints(ctx context.Context, tx catalogue.Tx, instance catalogue.ID, n int, now time.Time) error {
	for i := range n {
		taken := now.AddDate(0, 0, -i)
		expiry := taken.AddDate(0, 0, n-1).Add(-12 * time.Hour)
		name := fmt.Sprintf("%s-%03d", instance.Name(), i)
		body := fmt.Sprintf(`{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointId":%q,"recoveryPointTime":%q,"recoveryPointType":"Incremental","friendlyName":%[1]q,"retentionTagName":"Default",`+
			`"policyName":"daily","expiryTime":%q,"recoveryPointState":"Completed","recoveryPointDataStoresDetails":[{"id":%[1]q,"type":"OperationalStore","creationTime":%[2]q,"expiryTime":%[3]q,"visible":true,"state":"COMMITTED"}]}`,
			name, taken.Format(time.RFC3339Nano), expiry.Format(time.RFC3339Nano))
		p := catalogue.Point{Instance: instance, Name: name, Time: taken, Expiry: expiry, Good: true, Operational: true, Body: json.RawMessage(body)}
		if err := tx.PutPoint(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// lags are how long after a slot each backup began, in seconds, once all have.
func (s *scheduled) lags(ctx context.Context, instances int, slot time.Time) (lags []float64, err error) {
	err = await(ctx, 10*time.Minute, "all backups have begun", func(ctx context.Context) (bool, error) {
		if time.Since(slot) < 20*time.Second {
			return false, nil // The servers have the machine to themselves.
		}
		err := s.db.View(ctx, func(ctx context.Context, v catalogue.View) error {
			// Up to the first that has not begun: to ask for each of them again and again would take half of the machine.
			for n := len(lags); n < instances; n++ {
				found, err := v.Slots(ctx, catalogue.SlotQuery{Instance: catalogue.ID(instanceOf(s.subscription, n%apiVaults, n)), Limit: 1})
				if err != nil || len(found) != 1 || found[0].Job == "" {
					return err
				}
				lags = append(lags, found[0].Noted.Sub(slot).Seconds())
			}
			return nil
		})
		return len(lags) == instances, err
	})
	slices.Sort(lags)
	return lags, err
}

// owed counts the deletions of a vault.
func (s *scheduled) owed(ctx context.Context, vault int) (n int, err error) {
	err = s.db.View(ctx, func(ctx context.Context, v catalogue.View) error {
		n = 0
		for q := (catalogue.DeletionQuery{Vault: catalogue.ID(vaultOf(s.subscription, vault)), Limit: 1000}); ; {
			page, err := v.Deletions(ctx, q)
			if err != nil {
				return err
			}
			if n += len(page); len(page) < q.Limit {
				return nil
			}
			q.After = &page[len(page)-1]
		}
	})
	return n, err
}

const scheduledPolicy = `{"properties":{"objectType":"BackupPolicy","coffer":{"spread":"PT0S"},"datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
	{"objectType":"AzureBackupRule","name":"BackupDaily","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
	"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",
	"schedule":{"repeatingTimeIntervals":["INTERVAL"]},
	"taggingCriteria":[{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},
	{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},
	"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]}]}}`

func scheduledInstance(id, cluster catalogue.ID) string {
	source := func(kind string) string {
		return fmt.Sprintf(`{"objectType":%q,"datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":%q,"resourceUri":%[2]q,"resourceName":%q,`+
			`"resourceType":"Microsoft.ContainerService/managedClusters","resourceLocation":"here"}`, kind, cluster, cluster.Name())
	}
	return fmt.Sprintf(`{"properties":{"objectType":"BackupInstance","friendlyName":%q,"dataSourceInfo":%s,"dataSourceSetInfo":%s,"policyInfo":{"policyId":%q,"policyParameters":{
		"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":%q}],
		"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters","snapshotVolumes":true,"includeClusterScopeResources":true,"includedNamespaces":["app"]}]}}}}`,
		id.Name(), source("Datasource"), source("DatasourceSet"), id.Parent().Child("backupPolicies", "daily"), id.Group())
}
