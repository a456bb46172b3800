//! What is counted, under upstream's names.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts,
};

use crate::level::RejectReason;

const BY_FLOW: [&str; 2] = ["priority_level", "flow_schema"];
const BY_LEVEL: [&str; 1] = ["priority_level"];
const SECONDS: [f64; 12] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
const SEATS: [f64; 5] = [1.0, 2.0, 4.0, 10.0, 100.0];

/// The families; [`collectors`](Self::collectors) are for the server's registry.
#[derive(Clone)]
pub struct Metrics {
    rejected: IntCounterVec,
    dispatched: IntCounterVec,
    waiting: IntGaugeVec,
    waiting_seats: IntGaugeVec,
    executing: IntGaugeVec,
    seats: IntGaugeVec,
    wait: HistogramVec,
    execution: HistogramVec,
    estimated: HistogramVec,
    nominal: GaugeVec,
    lower: GaugeVec,
    upper: GaugeVec,
    current: GaugeVec,
    demand_most: GaugeVec,
    demand_average: GaugeVec,
    demand_deviation: GaugeVec,
    demand_smoothed: GaugeVec,
    target: GaugeVec,
    fraction: Gauge,
}

/// The handles of one FlowSchema's requests in one level: counting them looks nothing up.
pub(crate) struct FlowMetrics {
    pub(crate) dispatched: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) waiting_seats: IntGauge,
    pub(crate) executing: IntGauge,
    pub(crate) seats: IntGauge,
    pub(crate) waited_served: Histogram,
    pub(crate) waited_refused: Histogram,
    pub(crate) execution: Histogram,
    pub(crate) estimated: Histogram,
    /// By [`RejectReason`].
    rejected: [IntCounter; RejectReason::ALL.len()],
}

impl FlowMetrics {
    pub(crate) fn rejected(&self, reason: RejectReason) {
        self.rejected[reason as usize].inc();
    }
}

/// The handles of one level.
pub(crate) struct LevelMetrics {
    pub(crate) nominal: Gauge,
    pub(crate) lower: Gauge,
    pub(crate) upper: Gauge,
    pub(crate) current: Gauge,
    pub(crate) demand_most: Gauge,
    pub(crate) demand_average: Gauge,
    pub(crate) demand_deviation: Gauge,
    pub(crate) demand_smoothed: Gauge,
    pub(crate) target: Gauge,
}

const VALID: &str = "the name and labels are constants";

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(format!("apiserver_flowcontrol_{name}"), help), labels).expect(VALID)
}

fn int_gauges(name: &str, help: &str) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(format!("apiserver_flowcontrol_{name}"), help), &BY_FLOW).expect(VALID)
}

fn gauges(name: &str, help: &str) -> GaugeVec {
    GaugeVec::new(Opts::new(format!("apiserver_flowcontrol_{name}"), help), &BY_LEVEL).expect(VALID)
}

fn histograms(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    let opts = HistogramOpts::new(format!("apiserver_flowcontrol_{name}"), help).buckets(buckets.to_vec());
    HistogramVec::new(opts, labels).expect(VALID)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let with = |label| [BY_FLOW[0], BY_FLOW[1], label];
        Self {
            rejected: counters(
                "rejected_requests_total",
                "Number of requests rejected by API Priority and Fairness subsystem",
                &with("reason"),
            ),
            dispatched: counters(
                "dispatched_requests_total",
                "Number of requests executed by API Priority and Fairness subsystem",
                &BY_FLOW,
            ),
            waiting: int_gauges(
                "current_inqueue_requests",
                "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
            ),
            waiting_seats: int_gauges(
                "current_inqueue_seats",
                "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
            ),
            executing: int_gauges(
                "current_executing_requests",
                "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
            ),
            seats: int_gauges(
                "current_executing_seats",
                "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
            ),
            wait: histograms(
                "request_wait_duration_seconds",
                "Length of time a request spent waiting in its queue",
                &with("execute"),
                &SECONDS,
            ),
            execution: histograms(
                "request_execution_seconds",
                "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem",
                &with("type"),
                &SECONDS,
            ),
            estimated: histograms(
                "work_estimated_seats",
                "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness",
                &BY_FLOW,
                &SEATS,
            ),
            nominal: gauges(
                "nominal_limit_seats",
                "Nominal number of execution seats configured for each priority level",
            ),
            lower: gauges(
                "lower_limit_seats",
                "Configured lower bound on number of execution seats available to each priority level",
            ),
            upper: gauges(
                "upper_limit_seats",
                "Configured upper bound on number of execution seats available to each priority level",
            ),
            current: gauges(
                "current_limit_seats",
                "current derived number of execution seats available to each priority level",
            ),
            demand_most: gauges(
                "demand_seats_high_watermark",
                "High watermark, over last adjustment period, of demand_seats",
            ),
            demand_average: gauges(
                "demand_seats_average",
                "Time-weighted average, over last adjustment period, of demand_seats",
            ),
            demand_deviation: gauges(
                "demand_seats_stdev",
                "Time-weighted standard deviation, over last adjustment period, of demand_seats",
            ),
            demand_smoothed: gauges("demand_seats_smoothed", "Smoothed seat demands"),
            target: gauges("target_seats", "Seat allocation targets"),
            fraction: Gauge::new(
                "apiserver_flowcontrol_seat_fair_frac",
                "Fair fraction of server's concurrency to allocate to each priority level that can use it",
            )
            .expect(VALID),
        }
    }

    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut all: Vec<Box<dyn Collector>> = vec![
            Box::new(self.rejected.clone()),
            Box::new(self.dispatched.clone()),
            Box::new(self.waiting.clone()),
            Box::new(self.waiting_seats.clone()),
            Box::new(self.executing.clone()),
            Box::new(self.seats.clone()),
            Box::new(self.wait.clone()),
            Box::new(self.execution.clone()),
            Box::new(self.estimated.clone()),
            Box::new(self.fraction.clone()),
        ];
        for family in self.by_level() {
            all.push(Box::new(family.clone()));
        }
        all
    }

    fn by_level(&self) -> [&GaugeVec; 9] {
        [
            &self.nominal,
            &self.lower,
            &self.upper,
            &self.current,
            &self.demand_most,
            &self.demand_average,
            &self.demand_deviation,
            &self.demand_smoothed,
            &self.target,
        ]
    }

    pub(crate) fn flow(&self, level: &str, schema: &str) -> FlowMetrics {
        let labels = [level, schema];
        FlowMetrics {
            dispatched: self.dispatched.with_label_values(&labels),
            waiting: self.waiting.with_label_values(&labels),
            waiting_seats: self.waiting_seats.with_label_values(&labels),
            executing: self.executing.with_label_values(&labels),
            seats: self.seats.with_label_values(&labels),
            waited_served: self.wait.with_label_values(&[level, schema, "true"]),
            waited_refused: self.wait.with_label_values(&[level, schema, "false"]),
            execution: self.execution.with_label_values(&[level, schema, "regular"]),
            estimated: self.estimated.with_label_values(&labels),
            rejected: RejectReason::ALL
                .map(|reason| self.rejected.with_label_values(&[level, schema, reason.as_str()])),
        }
    }

    pub(crate) fn level(&self, level: &str) -> LevelMetrics {
        let [nominal, lower, upper, current, most, average, deviation, smoothed, target] =
            self.by_level().map(|family| family.with_label_values(&[level]));
        LevelMetrics {
            nominal,
            lower,
            upper,
            current,
            demand_most: most,
            demand_average: average,
            demand_deviation: deviation,
            demand_smoothed: smoothed,
            target,
        }
    }

    /// A level is gone: its limits are no longer told.
    pub(crate) fn forget_level(&self, level: &str) {
        for family in self.by_level() {
            // One that was never set is as good as gone.
            let _ = family.remove_label_values(&[level]);
        }
    }

    /// Of a level: requests dispatched, refused, timed out, cancelled.
    pub(crate) fn totals(&self, level: &str) -> [u64; 4] {
        let is = |label: &prometheus::proto::LabelPair, name: &str, value: &str| {
            label.name() == name && label.value() == value
        };
        let sum = |family: &IntCounterVec, reasons: &[&str]| {
            let metrics = family.collect().into_iter().flat_map(|f| f.get_metric().to_vec());
            let of_level = metrics.filter(|m| m.get_label().iter().any(|l| is(l, "priority_level", level)));
            let wanted = of_level.filter(|m| {
                reasons.is_empty() || reasons.iter().any(|r| m.get_label().iter().any(|l| is(l, "reason", r)))
            });
            // A count far below where a double loses ones.
            wanted.map(|m| m.get_counter().get_value()).sum::<f64>() as u64
        };
        [
            sum(&self.dispatched, &[]),
            sum(&self.rejected, &["queue-full", "concurrency-limit"]),
            sum(&self.rejected, &["time-out"]),
            sum(&self.rejected, &["cancelled"]),
        ]
    }

    pub(crate) fn fraction(&self, fraction: f64) {
        self.fraction.set(fraction);
    }
}
