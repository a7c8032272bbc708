//! Answers: what is read of each series, from the database and from memory.

use std::sync::Arc;

use super::Samples;
use crate::aggregate::Steps;
use crate::config::HOUR_MS;
use crate::database::{Block, Bundles, ChunkHead, Level};
use crate::error::{QueryError, SamplesError};
use crate::query::{
    Answer, Answered, Bounds, Buckets, Era, Function, Gap, Histograms, PartPlan, Point, Query, in_order, plan,
};
use crate::series::{Kind, SeriesId, SeriesKey};

/// What the series of a query have in common.
#[derive(Debug)]
struct Read<'q> {
    query: &'q Query,
    plan: PartPlan,
    /// With the times of their rows, unless those are damaged.
    chunks: Vec<ChunkHead>,
    times: Vec<Option<Vec<i64>>>,
    bundles: Bundles,
    gaps: Vec<Gap>,
}

impl Samples {
    /// Answers a query, from the database and from memory.
    ///
    /// # Errors
    /// When the question makes no sense, or the answer would be over a bound; both say what to ask instead. Damaged
    /// samples are no error: they are told as gaps.
    pub async fn query(&mut self, query: &Query) -> Result<Answer, QueryError> {
        query.check()?;
        let name = query.series_name();
        let matching =
            self.catalogue.iter().filter(|(_, one)| one.key.name == name && query.matches(&one.key));
        let matching: Vec<(SeriesId, Arc<SeriesKey>)> =
            matching.map(|(id, one)| (id, Arc::clone(&one.key))).collect();
        let limit = self.config.query_series_max;
        if matching.len() > limit {
            return Err(QueryError::TooManySeries { found: matching.len(), limit });
        }
        let mut read = self.prepare(query).await?;
        let mut answer = Answer::default();
        let mut histograms = Histograms::default();
        let mut points = 0;
        for (id, key) in matching {
            let limit = self.config.query_points_max;
            let too_many = |found: usize| {
                if found > limit { Err(QueryError::TooManyPoints { limit }) } else { Ok(()) }
            };
            let found = if query.function == Function::Raw {
                self.raw_points(&mut read, id, &key).await?
            } else {
                let buckets = self.buckets(&mut read, id, &key).await?;
                too_many(points + buckets.len())?;
                if let Function::Quantile(_) = query.function {
                    histograms.add(&key, &buckets);
                    too_many(histograms.points())?;
                }
                buckets.points(query.function)
            };
            points += found.len();
            too_many(points)?;
            if !found.is_empty() {
                let SeriesKey { name, labels, .. } = &*key;
                answer.series.push(Answered { name: name.clone(), labels: labels.clone(), points: found });
            }
        }
        if let Function::Quantile(q) = query.function {
            answer.series.extend(histograms.answer(&query.name, q).filter(|one| !one.points.is_empty()));
        }
        answer.series.sort_by(|a, b| (&a.name, &a.labels).cmp(&(&b.name, &b.labels)));
        self.stats.corrupt += read.gaps.len() as u64;
        (answer.gaps, answer.parts) = (read.gaps, read.plan.parts());
        Ok(answer)
    }

    async fn prepare<'q>(&mut self, query: &'q Query) -> Result<Read<'q>, SamplesError> {
        let raw_from_ms = if self.raw_removed {
            let open = self.blocks.iter().filter_map(|block| block.span()).map(|(start, _)| start);
            let oldest = self.chunks.iter().map(|chunk| chunk.start_ms).chain(open).min();
            // The hour in which raw samples begin has them in part only.
            oldest.map_or(i64::MAX, |start| start.saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS) * HOUR_MS)
        } else {
            i64::MIN
        };
        let hours_from_ms = self.database.oldest_spans(Level::Hours).await?.unwrap_or(i64::MAX);
        let plan = plan(query, &Bounds { raw_from_ms, hours_from_ms });
        let (from_ms, to_ms) = plan.raw;
        // The sample before the first one is needed too.
        let before_ms = from_ms.saturating_sub(self.config.lookback_ms);
        let touched =
            |chunk: &&ChunkHead| from_ms < to_ms && chunk.end_ms >= before_ms && chunk.start_ms < to_ms;
        let chunks: Vec<ChunkHead> = self.chunks.iter().filter(touched).copied().collect();
        let mut times = Vec::with_capacity(chunks.len());
        for chunk in &chunks {
            times.push(self.database.times(chunk).await?);
        }
        Ok(Read { query, plan, chunks, times, bundles: Bundles::default(), gaps: Vec::new() })
    }

    async fn raw_points(
        &mut self,
        read: &mut Read<'_>,
        id: SeriesId,
        key: &Arc<SeriesKey>,
    ) -> Result<Vec<Point>, SamplesError> {
        let (from_ms, to_ms) = read.plan.raw;
        let samples = self.samples(read, id, key).await?;
        let inside = samples.into_iter().filter(|(at_ms, _)| (from_ms..to_ms).contains(at_ms));
        Ok(inside.map(|(at_ms, value)| Point { at_ms, value }).collect())
    }

    async fn buckets(
        &mut self,
        read: &mut Read<'_>,
        id: SeriesId,
        key: &Arc<SeriesKey>,
    ) -> Result<Buckets, SamplesError> {
        let mut buckets = Buckets::new(read.query.from_ms, read.query.step_ms());
        for (level, (from_ms, to_ms)) in [(Level::Days, read.plan.days), (Level::Hours, read.plan.hours)] {
            if from_ms < to_ms {
                let found = self.database.spans(level, id, from_ms, to_ms).await?;
                let gap = |(from_ms, to_ms)| Gap { series: Arc::clone(key), from_ms, to_ms };
                read.gaps.extend(found.corrupt.into_iter().map(gap));
                found.spans.iter().for_each(|(span, one)| buckets.add(span * level.span_ms(), one));
            }
        }
        let (raw_from_ms, to_ms) = read.plan.raw;
        if raw_from_ms < to_ms {
            let mut steps = Steps::new(key.kind == Kind::Counter, self.config.lookback_ms, None);
            for (at_ms, value) in self.samples(read, id, key).await? {
                let one = steps.step(at_ms, value);
                if (raw_from_ms..to_ms).contains(&at_ms) {
                    buckets.add(at_ms, &one);
                }
            }
        }
        // Where aggregates answer, they do not have what is in memory.
        let (from_ms, _) = read.plan.whole;
        for block in &self.blocks {
            let Some(column) = block.columns.get(&id) else { continue };
            let mut steps = column.steps;
            for (at_ms, value) in column.samples(&block.times) {
                let one = steps.step(at_ms, value);
                if (from_ms..raw_from_ms).contains(&at_ms) {
                    buckets.add(at_ms, &one);
                }
            }
        }
        Ok(buckets)
    }

    /// The raw samples of a series in chunks that were chosen, and in memory.
    async fn samples(
        &mut self,
        read: &mut Read<'_>,
        id: SeriesId,
        key: &Arc<SeriesKey>,
    ) -> Result<Vec<(i64, f64)>, SamplesError> {
        let mut eras: Vec<Era> =
            self.hulls().into_iter().map(|hull| Era { samples: Vec::new(), hull }).collect();
        let first_era = self.chunks.first().map_or(self.blocks[0].era, |chunk| chunk.era);
        let place = |era: i64| usize::try_from(era - first_era).unwrap_or(0);
        for (nth, block) in self.database.blocks(id, &read.chunks, &mut read.bundles).await? {
            let chunk = read.chunks[nth];
            match (block, &read.times[nth]) {
                (Block::Whole { presence, values }, Some(times)) => {
                    let rows = presence.rows().map(|row| times[row as usize]);
                    eras[place(chunk.era)].samples.extend(rows.zip(values));
                }
                (Block::Corrupt, _) | (_, None) => {
                    let ChunkHead { start_ms: from_ms, end_ms, .. } = chunk;
                    read.gaps.push(Gap { series: Arc::clone(key), from_ms, to_ms: end_ms.saturating_add(1) });
                }
            }
        }
        for block in &self.blocks {
            if let Some(column) = block.columns.get(&id) {
                eras[place(block.era)].samples.extend(column.samples(&block.times));
            }
        }
        Ok(in_order(eras))
    }

    /// The first and last time of each era of which something is kept, from the oldest to the newest.
    fn hulls(&self) -> Vec<(i64, i64)> {
        let chunks = self.chunks.iter().map(|chunk| (chunk.era, (chunk.start_ms, chunk.end_ms)));
        let open = self.blocks.iter().map(|block| (block.era, block.span().unwrap_or((i64::MAX, i64::MIN))));
        let all: Vec<_> = chunks.chain(open).collect();
        let Some(first) = all.first().map(|(era, _)| *era) else { return Vec::new() };
        let mut hulls = Vec::new();
        for (era, (start, end)) in all {
            let place = usize::try_from(era - first).unwrap_or(0);
            if hulls.len() <= place {
                hulls.resize(place + 1, (i64::MAX, i64::MIN));
            }
            hulls[place] = (hulls[place].0.min(start), hulls[place].1.max(end));
        }
        hulls
    }
}
