package cli_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/tapctl/tapctl/internal/topology"
)

// retold changes what the topology says.
func (w *accountOf) retold(change func(*topology.Topology)) (undo func()) {
	changed := w.top
	change(&changed)
	w.ts.Check(w.control().PutTopology(w.ctx, changed))
	return func() { w.ts.Check(w.control().PutTopology(w.ctx, w.top)) }
}

// environment sets a variable of the script.
func (w *accountOf) environment(name, value string) (undo func()) {
	before := w.ts.Getenv(name)
	w.ts.Setenv(name, value)
	return func() { w.ts.Setenv(name, before) }
}

// records changes the weighted records of the public name, all at once, and
// puts them back as they were.
func (w *accountOf) records(change func(r53types.ResourceRecordSet) (r53types.ChangeAction, r53types.ResourceRecordSet)) (undo func()) {
	client := w.route53()
	_, before := recordsOf(w.ctx, w.ts, client, w.top.RecordName)
	send := func(changes []r53types.Change) {
		_, err := client.ChangeResourceRecordSets(w.ctx, &route53.ChangeResourceRecordSetsInput{HostedZoneId: &w.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Changes: changes}})
		w.ts.Check(err)
	}
	var there, back []r53types.Change
	for _, record := range before {
		action, changed := change(record)
		there = append(there, r53types.Change{Action: action, ResourceRecordSet: &changed})
		back = append(back, r53types.Change{Action: r53types.ChangeActionUpsert, ResourceRecordSet: &record})
	}
	send(there)
	return func() { send(back) }
}

// of changes the records of one side only.
func of(set string, change func(*r53types.ResourceRecordSet)) func(r53types.ResourceRecordSet) (r53types.ChangeAction, r53types.ResourceRecordSet) {
	return func(r r53types.ResourceRecordSet) (r53types.ChangeAction, r53types.ResourceRecordSet) {
		if set == "" || aws.ToString(r.SetIdentifier) == set {
			change(&r)
		}
		return r53types.ChangeActionUpsert, r
	}
}

// check changes one of the checks below a record's: the one that pick takes.
func (w *accountOf) check(record string, pick func(*r53types.HealthCheckConfig) bool, change func(in *route53.UpdateHealthCheckInput)) (undo func()) {
	client := w.route53()
	parent := must[*route53.GetHealthCheckOutput](w.ts)(client.GetHealthCheck(w.ctx, &route53.GetHealthCheckInput{HealthCheckId: &record}))
	for _, child := range parent.HealthCheck.HealthCheckConfig.ChildHealthChecks {
		found := must[*route53.GetHealthCheckOutput](w.ts)(client.GetHealthCheck(w.ctx, &route53.GetHealthCheckInput{HealthCheckId: &child}))
		before := found.HealthCheck.HealthCheckConfig
		if !pick(before) {
			continue
		}
		in := &route53.UpdateHealthCheckInput{HealthCheckId: &child}
		change(in)
		must[*route53.UpdateHealthCheckOutput](w.ts)(client.UpdateHealthCheck(w.ctx, in))
		return func() {
			back := &route53.UpdateHealthCheckInput{HealthCheckId: &child, Disabled: before.Disabled, ResourcePath: before.ResourcePath}
			must[*route53.UpdateHealthCheckOutput](w.ts)(client.UpdateHealthCheck(w.ctx, back))
		}
	}
	w.ts.Fatalf("no such check below %s", record)
	return nil
}

func endpoint(c *r53types.HealthCheckConfig) bool { return c.Type == r53types.HealthCheckTypeHttps }

// alarm reads an alarm as it could be put again.
func (w *accountOf) alarm(region, name string) *cloudwatch.PutMetricAlarmInput {
	out := must[*cloudwatch.DescribeAlarmsOutput](w.ts)(w.alarms(region).DescribeAlarms(w.ctx, &cloudwatch.DescribeAlarmsInput{
		AlarmNames: []string{name}, AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm},
	}))
	a := out.MetricAlarms[0]
	return &cloudwatch.PutMetricAlarmInput{
		AlarmName: a.AlarmName, AlarmDescription: a.AlarmDescription, Namespace: a.Namespace, MetricName: a.MetricName, Statistic: a.Statistic,
		Dimensions: a.Dimensions, Period: a.Period, EvaluationPeriods: a.EvaluationPeriods, DatapointsToAlarm: a.DatapointsToAlarm,
		ComparisonOperator: a.ComparisonOperator, Threshold: a.Threshold, TreatMissingData: a.TreatMissingData, Metrics: a.Metrics,
	}
}

func (w *accountOf) put(region string, in cloudwatch.PutMetricAlarmInput) {
	must[*cloudwatch.PutMetricAlarmOutput](w.ts)(w.alarms(region).PutMetricAlarm(w.ctx, &in))
}

// edgeHarms are those of credentials, records and health checks.
func edgeHarms(w *accountOf) []harm {
	all := []harm{
		{name: "the credentials", fails: []string{"credentials/caller identity"}, do: func(w *accountOf) func() {
			w.ts.Check(w.ts.Exec("tapctl", "local", "fault", "--region", "*", "--kind", "expired-credentials"))
			return func() { w.ts.Check(w.ts.Exec("tapctl", "local", "fault", "--clear")) }
		}},
		{name: "the account", fails: []string{"credentials/account"}, do: func(w *accountOf) func() {
			return w.retold(func(t *topology.Topology) { t.Account = "999999999999" })
		}},
		{name: "the credentials' lifetime", fails: []string{"credentials/lifetime"}, do: func(w *accountOf) func() {
			return w.environment("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z")
		}},
		{name: "blue's record", fails: []string{"dns/records", "dns/weights as recorded"}, do: func(w *accountOf) func() {
			return w.records(func(r r53types.ResourceRecordSet) (r53types.ChangeAction, r53types.ResourceRecordSet) {
				if aws.ToString(r.SetIdentifier) == "blue" {
					return r53types.ChangeActionDelete, r
				}
				return r53types.ChangeActionUpsert, r
			})
		}},
		{name: "a third record", fails: []string{"dns/no other record"}, do: func(w *accountOf) func() {
			_, found := recordsOf(w.ctx, w.ts, w.route53(), w.top.RecordName)
			third := found[0]
			third.SetIdentifier, third.Weight = aws.String("purple"), aws.Int64(0)
			send := func(action r53types.ChangeAction) {
				must[*route53.ChangeResourceRecordSetsOutput](w.ts)(w.route53().ChangeResourceRecordSets(w.ctx, &route53.ChangeResourceRecordSetsInput{
					HostedZoneId: &w.top.ZoneID, ChangeBatch: &r53types.ChangeBatch{Changes: []r53types.Change{{Action: action, ResourceRecordSet: &third}}},
				}))
			}
			send(r53types.ChangeActionCreate)
			return func() { send(r53types.ChangeActionDelete) }
		}},
		{name: "all weights", fails: []string{"dns/weights", "dns/weights as recorded"}, do: func(w *accountOf) func() {
			return w.records(of("", func(r *r53types.ResourceRecordSet) { r.Weight = aws.Int64(0) }))
		}},
		{name: "a weight by hand", fails: []string{"dns/weights as recorded"}, do: func(w *accountOf) func() {
			return w.records(of("green", func(r *r53types.ResourceRecordSet) { r.Weight = aws.Int64(40) }))
		}},
	}
	for side, cell := range map[string]topology.Cell{"blue": w.top.Source, "green": w.top.Target} {
		all = append(all,
			harm{name: side + "'s alias", fails: []string{"dns/" + side + " leads to its region"}, do: func(w *accountOf) func() {
				_, found := recordsOf(w.ctx, w.ts, w.route53(), w.top.RecordName)
				for _, r := range found {
					if aws.ToString(r.SetIdentifier) != side {
						return w.records(of(side, func(changed *r53types.ResourceRecordSet) { changed.AliasTarget = r.AliasTarget }))
					}
				}
				return nil
			}},
			harm{name: side + "'s check taken off", fails: []string{"health checks/attached to " + side}, do: func(w *accountOf) func() {
				return w.records(of(side, func(r *r53types.ResourceRecordSet) { r.HealthCheckId = nil }))
			}},
			harm{name: side + "'s check disabled", fails: []string{"health checks/enabled for " + side}, do: func(w *accountOf) func() {
				return w.check(cell.HealthCheck, endpoint, func(in *route53.UpdateHealthCheckInput) { in.Disabled = aws.Bool(true) })
			}},
			harm{name: side + "'s health", fails: []string{"health checks/healthy " + side}, do: func(w *accountOf) func() {
				return w.check(cell.HealthCheck, endpoint, func(in *route53.UpdateHealthCheckInput) { in.ResourcePath = aws.String("/items/absent") })
			}})
	}
	for name, region := range map[string]string{"Shop-demo-api-5xx-rate": greenRegion, "Shop-demo-green-kill": "us-west-2"} {
		all = append(all, harm{name: "the threshold of " + name, fails: []string{"health checks/copy of alarm " + name}, do: func(w *accountOf) func() {
			before := w.alarm(region, name)
			changed := *before
			changed.Threshold = aws.Float64(7)
			w.put(region, changed)
			return func() { w.put(region, *before) }
		}})
	}
	return all
}

// pathHarms are those of the data path but for what its functions suffer.
func pathHarms() []harm {
	return []harm{
		{name: "the trusted authority", fails: []string{"data path/certificate in eu-west-1", "data path/certificate in eu-central-1"}, do: func(w *accountOf) func() {
			path := w.ts.MkAbs("stranger.pem")
			w.ts.Check(os.WriteFile(path, stranger(w), 0o600))
			return w.environment("TAPCTL_AWS_CA_BUNDLE", path)
		}},
		{name: "the health path", fails: []string{"data path/GET /absent in eu-west-1", "data path/GET /absent in eu-central-1"}, do: func(w *accountOf) func() {
			return w.retold(func(t *topology.Topology) { t.HealthPath = "/absent" })
		}},
		{name: "the deployed version", fails: []string{"data path/version in eu-central-1"}, do: func(w *accountOf) func() {
			return w.retold(func(t *topology.Topology) { t.Target.Version = "0123456789ab" })
		}},
	}
}

// stranger is the certificate of an authority that signed nothing here.
func stranger(w *accountOf) []byte {
	key := must[*ecdsa.PrivateKey](w.ts)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der := must[[]byte](w.ts)(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	var out bytes.Buffer
	w.ts.Check(pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return out.Bytes()
}
