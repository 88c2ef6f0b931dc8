package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

func (p *program) newRestoreTestShow() *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show one restore test, and verify its signed report", Args: oneName("restore test"),
		Long: `Show one restore test, and verify its signed report: that it is the one that the RestoreTest names, and signed by the signer that it
names. The report is read through a port-forward to the Backup extension; who may not do that is shown what the RestoreTest says.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			var t v1alpha1.RestoreTest
			if _, err := p.read(cmd.Context(), "show", "restore test", "restore test", args[0], &t); err != nil {
				return err
			}
			if !raw {
				return p.showRestoreTest(cmd.Context(), &t)
			}
			report, err := p.readTestReport(cmd.Context(), &t)
			if err != nil {
				return err
			}
			_, err = p.Out.Write(report)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "report", false, "print the verified report itself, as JSON")
	return cmd
}

// showRestoreTest shows a test. A report that is not what was signed is an error, after everything was shown.
func (p *program) showRestoreTest(ctx context.Context, t *v1alpha1.RestoreTest) error {
	identify(t, "RestoreTest")
	verified, problem := p.verifyTestReport(ctx, t)
	err := p.show(t, func() error { return p.describeRestoreTest(t, verified) })
	return errors.Join(err, problem)
}

// verifyTestReport says how it stands with the report; the error is a report that must not be believed.
func (p *program) verifyTestReport(ctx context.Context, t *v1alpha1.RestoreTest) (string, error) {
	if t.Status.TestReport == nil {
		return "", nil
	}
	_, err := p.readTestReport(ctx, t)
	switch code := coffer.CodeOf(err); {
	case err == nil:
		return "verified", nil
	case code == coffer.CodeArchiveCorrupt, code == coffer.CodeSignerNotTrusted:
		return "NOT TO BE BELIEVED", err
	default:
		return "not verified: " + err.Error(), nil
	}
}

// readTestReport reads the report of a test and verifies it: by its digest and its signature, and that it is of this test.
func (p *program) readTestReport(ctx context.Context, t *v1alpha1.RestoreTest) ([]byte, error) {
	named := t.Status.TestReport
	if named == nil {
		return nil, fmt.Errorf("restore test %s has no report: it is %s", t.Name, phaseText(t.Status.Phase))
	}
	asked := content.Test{
		StorageLocation: named.StorageLocation, BackupName: t.Spec.BackupName, Run: string(t.UID), Encrypted: restorerecord.IsEncrypted(named.Key),
	}
	answer, err := p.askReader(ctx, asked.URL())
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Close() }()
	var signed content.SignedReport
	if err := content.Read(answer, func(s content.SignedReport) error { signed = s; return nil }); err != nil {
		return nil, fmt.Errorf("read the report of restore test %s: %w", t.Name, err)
	}
	return signed.Report, checkTestReport(t, signed)
}

func checkTestReport(t *v1alpha1.RestoreTest, signed content.SignedReport) error {
	named := t.Status.TestReport
	if _, err := recoverypoint.VerifyReport(t.Name, signed.Report, signed.Signature, []string{named.Signer}); err != nil {
		return err
	}
	if digest := restorerecord.TestDigest(signed.Report); digest != named.Digest {
		return coffer.Errorf(coffer.CodeArchiveCorrupt, "the stored report is another than the test has made: its digest is %s, and was %s", digest, named.Digest)
	}
	report, err := restorerecord.DecodeTest(signed.Report)
	if err == nil && report.Run != string(t.UID) {
		err = coffer.Errorf(coffer.CodeArchiveCorrupt, "the stored report is of another run, %s", report.Run)
	}
	return err
}

func (p *program) describeRestoreTest(t *v1alpha1.RestoreTest, verified string) error {
	s, g := t.Status, t.Status.Progress
	checks, report := "", ""
	if len(t.Spec.Checks) > 0 {
		checks = fmt.Sprintf("%d passed of %d", passed(s.Checks), len(t.Spec.Checks))
		if s.ChecksPassedTime != nil {
			checks += ", " + after(s, s.ChecksPassedTime) + " after the start"
		}
	}
	if s.TestReport != nil {
		report = s.TestReport.Key + " in " + s.TestReport.StorageLocation
	}
	err := p.describe([]field{
		{"Name", t.Name},
		{"Backup", t.Spec.BackupName},
		{"Phase", phaseText(s.Phase)},
		{"Step", stepText(s.RunStatus)},
		{"Outcome", string(s.Outcome)},
		{"Reason", s.Reason},
		{"Message", s.Message},
		{"Namespaces", namespacesText(t.Spec.IncludedNamespaces, t.Spec.ExcludedNamespaces)},
		{"Recovery point", s.ManifestDigest},
		{"Started", when(s.StartTime)},
		{"Completed", when(s.CompletionTime)},
		{"Took", took(s.RunStatus)},
		{"Objects", fmt.Sprintf("%d created, %d failed; %d left out", g.Created+g.Existing+g.Patched, g.Failed, g.Skipped)},
		{"Volumes", fmt.Sprintf("%d bound of %d", g.VolumesBound, g.VolumesTotal)},
		{"Workloads", workloadsText(s.RestoreStatus)},
		{"Checks", checks},
		{"Kept", strings.Join(s.ScratchNamespaces, ", ")},
		{"Report", report},
		{"Signed", signedText(s.TestReport, verified)},
	})
	if err != nil {
		return err
	}
	if err := p.describeChecks(s.Checks); err != nil {
		return err
	}
	return p.describeWarnings(s.RunStatus)
}

func signedText(r *v1alpha1.RestoreTestReport, verified string) string {
	if r == nil {
		return ""
	}
	return r.Digest + " by " + r.Signer + ": " + verified
}

// describeChecks says of each check that does not hold why.
func (p *program) describeChecks(checks []v1alpha1.RestoreCheckStatus) error {
	var lines []string
	for _, c := range checks {
		if !c.Passed {
			lines = append(lines, fmt.Sprintf("  %s, after %d tries: %s", c.Name, c.Attempts, c.Message))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(p.Out, "\nChecks that do not hold:\n"+harmless(strings.Join(lines, "\n")))
	return err
}
