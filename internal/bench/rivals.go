package bench

// Rivals are the models of others' policies, and of tapctl's parts one by one.
// Sources are the versions that docs/detection.md names; each can be read at
// https://github.com/REPOSITORY/blob/COMMIT/FILE.
func Rivals() []Policy {
	const (
		codeDeploy = "https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html; one-minute metrics visible after 60 s, alarm polled every 10 s (assumed)"
		flagger    = "https://github.com/fluxcd/flagger pkg/apis/flagger/v1beta1/canary.go at 794fea8, pkg/controller/scheduler.go at 2944581, scheduler_metrics.go at 06d3204; Prometheus 15 s behind (assumed)"
		argo       = "https://github.com/argoproj/argo-rollouts docs/features/analysis.md at a8a44ec, utils/defaults/defaults.go at 15f0386, issues/3503 for missing data; Prometheus 15 s behind (assumed)"
		parts      = "a ramp from 1 to 100 percent in ten minutes; shows what each part of tapctl is worth"
	)
	s5 := func(plan planned, breached rule) func(World, *dice) decider {
		return startAlarmed(plan, 60, 60, 60, 10, breached)
	}
	ramped := geometric(0.01, rampSeconds)
	toHalf := []float64{0.1, 0.2, 0.3, 0.4, 0.5}
	return []Policy{
		rival("CodeDeploy Canary10Percent5Minutes, 5XX>=1", codeDeploy, stageUpdate, s5(staged(300, 0.1, 1), anyError)),
		rival("CodeDeploy Canary10Percent5Minutes, rate>1%", codeDeploy, stageUpdate, s5(staged(300, 0.1, 1), rateAbove(0.01))),
		rival(codeDeployLinear, codeDeploy, stageUpdate, s5(linear(0.1, 60), rateAbove(0.01))),
		rival(flaggerDefault, flagger, meshUpdate, flaggerTicks(60, 1, fails, toHalf)),
		rival("Flagger docs (threshold 5)", flagger, meshUpdate, flaggerTicks(60, 5, fails, toHalf)),
		rival("Argo Rollouts docs example", argo, meshUpdate, argoTicks(300, 0.05, 4, 2)),
		rival("Argo Rollouts strict", argo+"; 1 m, 99%, failureLimit 0", meshUpdate, argoTicks(60, 0.01, 1, 10)),
		rival("naive: Route 53 linear, CloudWatch rate>1%", "the undo goes through DNS; the steps are taken as immediate", dnsRecord, s5(linear(0.1, 60), rateAbove(0.01))),
		rival("tuned: Flagger 10 s on 1/5/25/50/100", "hand-tuned rival; a silent window passes", meshUpdate, flaggerTicks(10, 1, passes, hold(12, 0.01, 0.05, 0.25, 0.5, 1))),
		rival("tuned: geometric, 10 s alarm rate>1%", "hand-tuned rival, high-resolution metric 5 s behind", stageUpdate, startAlarmed(ramped, 10, 5, 10, 10, rateAbove(0.01))),
		rival("geometric, 60 s alarm rate>1%", parts, stageUpdate, s5(ramped, rateAbove(0.01))),
		part("geometric, e-process on 60 s metrics", parts, stageUpdate, ramped, 60, 60),
		part("geometric, e-process on 10 s metrics", parts, stageUpdate, ramped, 10, 10),
		part("geometric, e-process on logs", parts, stageUpdate, ramped, 1, logLag),
		part("geometric, e-process on logs, undo by DNS", parts, dnsRecord, ramped, 1, logLag),
	}
}

// rival looks at green alone, in windows of whole blocks.
func rival(name, source string, undo Actuator, start func(World, *dice) decider) Policy {
	return Policy{Name: name, Source: source, Undo: undo, tick: block, start: start}
}

// part is a plan under tapctl's tests.
func part(name, source string, undo Actuator, plan planned, period, lag int) Policy {
	return Policy{Name: name, Source: source, Undo: undo, tick: min(period, block), compares: true, start: startJudged(plan, period, lag)}
}

// The rivals that targets name.
const (
	codeDeployLinear = "CodeDeploy Linear10PercentEvery1Minute, rate>1%"
	flaggerDefault   = "Flagger default (threshold 1)"
)

// flaggerTicks demand 99 percent success over an interval; the undo comes one
// tick after the threshold.
func flaggerTicks(interval, threshold int, s silence, weights []float64) func(World, *dice) decider {
	return func(w World, _ *dice) decider {
		return &ticked{weights: weights, interval: interval, window: interval, lag: 15, bad: rateAbove(0.01).in(w), threshold: threshold, silence: s, delayedUndo: true}
	}
}

// argoTicks are 20, 40, 60, 80 percent for ten minutes each.
func argoTicks(interval int, failing float64, threshold, looks int) func(World, *dice) decider {
	weights := hold(looks, 0.2, 0.4, 0.6, 0.8)
	return func(w World, _ *dice) decider {
		return &ticked{weights: weights, interval: interval, window: interval, lag: 15, bad: rateAbove(failing).in(w), threshold: threshold, silence: errs}
	}
}

// hold is each weight for that many looks.
func hold(looks int, each ...float64) []float64 {
	var weights []float64
	for _, w := range each {
		for range looks {
			weights = append(weights, w)
		}
	}
	return weights
}
