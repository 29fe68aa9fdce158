package cloudwatch

import "github.com/aws/aws-sdk-go-v2/aws"

// Definition is what an alarm on one plain metric watches, in basic types: it
// is what Route 53 copies into a health check.
type Definition struct {
	Namespace, Metric, Statistic, Comparison string
	Threshold                                float64
	Period, Evaluations                      int32
	Dimensions                               [][2]string // name and value, in the alarm's order
}

// Definition is the alarm's definition as it is now.
func (s *Service) Definition(region, name string) (Definition, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.in(region).alarms[name]
	if !ok {
		return Definition{}, false
	}
	d := Definition{
		Namespace: aws.ToString(found.Namespace), Metric: aws.ToString(found.MetricName), Statistic: string(found.Statistic),
		Comparison: string(found.ComparisonOperator), Threshold: aws.ToFloat64(found.Threshold),
		Period: aws.ToInt32(found.Period), Evaluations: aws.ToInt32(found.EvaluationPeriods),
	}
	for _, dimension := range found.Dimensions {
		d.Dimensions = append(d.Dimensions, [2]string{aws.ToString(dimension.Name), aws.ToString(dimension.Value)})
	}
	return d, true
}
