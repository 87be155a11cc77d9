//! Acts: requests that affect other objects, each covered by a persisted record.

use std::sync::Arc;
use std::time::Duration;

use primetime_core::Instant;
use primetime_core::output::{Act, JobAct, MachineAct, SwitchAct};
use primetime_core::state::observed::LaunchAnswer;

use crate::call::CallError;
use crate::kinds::drain::{self, Order};
use crate::kinds::{self, job, pods, values};
use crate::reconciler::queue::Outcome;
use crate::reconciler::{Calls, Look, Reconciler, Work};

/// Minimum interval between two questions about ids that no look has shown.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// Minimum interval between two requests of a run for a list of the Nodes.
const LIST_NODES_AGAIN: Duration = Duration::from_secs(15);

/// Minimum interval between two GETs of a surge that no list contains.
const LOOK_FOR_SURGES_AGAIN: Duration = Duration::from_secs(5);

/// Minimum interval between two looks at the pods of a target.
const LOOK_AT_PODS_AGAIN: Duration = Duration::from_secs(10);

/// Minimum interval between two GETs of a Job that exists but that no list contains.
const LOOK_AT_JOBS_AGAIN: Duration = Duration::from_secs(15);

impl Reconciler {
    pub(super) fn act(self: &Arc<Self>, namespace: &str, act: Act, look: Look) -> Option<Instant> {
        match act {
            Act::Write { hold, writes, due } => {
                let engine = self.clone();
                let ns = namespace.to_owned();
                // The writes use the lane of the `SurgeHold`, so a write never overlaps with an
                // update of the hold.
                let lane = format!("hold/{namespace}/{hold}");
                let work =
                    Work { namespace, lane, kind: "write", due: Some(due), calls: Calls::Api };
                self.start(work, look, async move {
                    let leads = || engine.leadership.leads();
                    for write in &writes {
                        kinds::write(&engine.client, &engine.shared, &ns, write, leads).await?;
                    }
                    Ok(Outcome::Done)
                })
            }
            Act::Switch(act) => self.switch(namespace, act, look),
            Act::LookForSurge { surge } => {
                let (engine, ns) = (self.clone(), namespace.to_owned());
                let lane = format!("surge/{namespace}/{surge}/look");
                let kind = "look_for_surge";
                let work = Work { namespace, lane, kind, due: None, calls: Calls::Api };
                self.start(work, look, async move {
                    engine.records(&ns).look_for_surge(&surge).await?;
                    Ok(Outcome::Again(LOOK_FOR_SURGES_AGAIN))
                })
            }
            Act::LookAtPods { workload } => {
                let (engine, ns) = (self.clone(), namespace.to_owned());
                let lane = format!("pods/{namespace}/{workload}");
                let kind = "look_at_pods";
                let work = Work { namespace, lane, kind, due: None, calls: Calls::Explanation };
                self.start(work, look, async move {
                    let (client, shared) = (&engine.client, &engine.shared);
                    let now = engine.clock.now();
                    pods::look(client, shared, &ns, &workload, now).await?;
                    Ok(Outcome::Again(LOOK_AT_PODS_AGAIN))
                })
            }
            Act::Job { run, act } => self.job(namespace, &run, act, look),
            Act::Machine { run, act } => self.machine(namespace, &run, act, look),
        }
    }

    fn switch(self: &Arc<Self>, namespace: &str, act: SwitchAct, look: Look) -> Option<Instant> {
        let (engine, ns) = (self.clone(), namespace.to_owned());
        let (place, kind) = match &act {
            SwitchAct::Read { place } => (place, "read_value"),
            SwitchAct::Write { place, .. } => (place, "write_value"),
        };
        let lane = format!("value/{namespace}/{place}");
        let work = Work { namespace, lane, kind, due: None, calls: Calls::Api };
        self.start(work, look, async move {
            let (client, shared, clock) = (&engine.client, &engine.shared, &*engine.clock);
            let leads = || engine.leadership.leads();
            values::act(client, shared, clock, &ns, &act, leads).await?;
            Ok(Outcome::Done)
        })
    }

    fn job(
        self: &Arc<Self>,
        namespace: &str,
        run: &str,
        act: JobAct,
        look: Look,
    ) -> Option<Instant> {
        let (engine, ns) = (self.clone(), namespace.to_owned());
        let work = |name: &str, kind| {
            let lane = format!("job/{namespace}/{run}/{name}");
            Work { namespace, lane, kind, due: None, calls: Calls::Api }
        };
        match act {
            JobAct::Create(job) => self.start(work(&job.name, "create_job"), look, async move {
                job::create(&engine.client, &engine.shared, &ns, &job).await?;
                Ok(Outcome::Done)
            }),
            JobAct::Look { name } => self.start(work(&name, "look_at_job"), look, async move {
                job::look(&engine.client, &engine.shared, &ns, &name).await?;
                Ok(Outcome::Again(LOOK_AT_JOBS_AGAIN))
            }),
        }
    }

    fn machine(
        self: &Arc<Self>,
        namespace: &str,
        run: &str,
        act: MachineAct,
        look: Look,
    ) -> Option<Instant> {
        let engine = self.clone();
        let work = |lane, kind, calls| Work { namespace, lane, kind, due: None, calls };
        match act {
            MachineAct::Launch { batch, run_uid } => {
                let work = work(format!("launch/{}", batch.token), "launch", Calls::Cloud);
                self.start(work, look, async move {
                    let answer = engine.cloud.launch(&run_uid, &batch).await;
                    let open = match &answer {
                        LaunchAnswer::Unheard(why) | LaunchAnswer::Unknown(why) => {
                            Some(why.clone())
                        }
                        LaunchAnswer::Came { .. } | LaunchAnswer::Refused(_) => None,
                    };
                    engine.shared.with(|cache| cache.launches.insert(batch.token.clone(), answer));
                    open.map_or(Ok(Outcome::Done), |why| Err(CallError::Failed(why)))
                })
            }
            MachineAct::Cordon { node } => {
                let work = work(format!("drain/{node}"), "cordon", Calls::Api);
                self.start(work, look, async move {
                    drain::cordon(&engine.client, &node, true).await.map(|()| Outcome::Done)
                })
            }
            MachineAct::Uncordon { node } => {
                let work = work(format!("drain/{node}"), "uncordon", Calls::Api);
                self.start(work, look, async move {
                    drain::cordon(&engine.client, &node, false).await?;
                    engine.shared.with(|cache| cache.drains.remove(&node));
                    Ok(Outcome::Done)
                })
            }
            MachineAct::Drain { node, open, spare, overdue } => {
                let work = work(format!("drain/{node}"), "drain", Calls::Api);
                let (namespace, now) = (namespace.to_owned(), look.now);
                let order = Order { node, open, namespace, spare, overdue, now };
                self.start(work, look, async move {
                    let before = engine.shared.with(|cache| cache.drains.get(&order.node).cloned());
                    let after =
                        drain::drain(&engine.client, &order, before.unwrap_or_default()).await?;
                    engine.shared.with(|cache| cache.drains.insert(order.node, after));
                    Ok(Outcome::Again(Duration::from_secs(2)))
                })
            }
            MachineAct::Ask { ids } => {
                let work = work(format!("ask/{namespace}/{run}"), "ask", Calls::Cloud);
                let at = look.now;
                self.start(work, look, async move {
                    let known = engine.cloud.ask(&ids).await.map_err(CallError::Failed)?;
                    engine.shared.with(|cache| cache.hear_of(known, at));
                    Ok(Outcome::Again(ASK_AGAIN))
                })
            }
            MachineAct::Renew { ids, expires } => {
                let work = work(format!("renew/{namespace}/{run}"), "renew", Calls::Cloud);
                self.start(work, look, async move {
                    engine.cloud.renew(&ids, expires).await.map_err(CallError::Failed)?;
                    Ok(Outcome::Again(ASK_AGAIN))
                })
            }
            MachineAct::LookAtNodes => {
                let work = work(format!("nodes/{namespace}/{run}"), "list_nodes", Calls::Api);
                self.start(work, look, async move {
                    engine.shared.list_nodes();
                    Ok(Outcome::Again(LIST_NODES_AGAIN))
                })
            }
            MachineAct::Terminate { ids, run_uid } => {
                let work = work(format!("terminate/{namespace}/{run}"), "terminate", Calls::Cloud);
                self.start(work, look, async move {
                    let refused = engine.cloud.terminate(&run_uid, &ids).await;
                    let refused = refused.map_err(CallError::Failed)?;
                    engine.shared.with(|cache| {
                        cache.not_ended.retain(|id, _| !ids.contains(id));
                        cache.not_ended.extend(refused);
                    });
                    Ok(Outcome::Again(Duration::from_secs(5)))
                })
            }
        }
    }
}
