//! Interruption: the first one lets running actions end, the second one stops them.

use tokio::sync::watch;

/// How urgently the run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It goes on.
    None,
    /// No further step starts; what runs may end.
    Drain,
    /// What runs is stopped.
    Kill,
}

/// The end that interrupts.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Level>);

/// The end that is asked whether to go on.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<Level>);

impl Cancel {
    /// Makes a pair.
    pub fn new() -> (Trigger, Self) {
        let (tx, rx) = watch::channel(Level::None);
        (Trigger(tx), Self(rx))
    }

    /// The level now.
    pub fn level(&self) -> Level {
        *self.0.borrow()
    }

    /// Waits until the run is to end, at whatever level.
    pub async fn interrupted(&self) {
        let mut rx = self.0.clone();
        if rx.wait_for(|level| *level > Level::None).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until what runs is to be stopped. For ever, if that never comes.
    pub async fn killed(&self) {
        let mut rx = self.0.clone();
        if rx.wait_for(|level| *level == Level::Kill).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// Raises the level by one; returns the new one.
    pub fn interrupt(&self) -> Level {
        self.0.send_modify(|level| {
            *level = if *level == Level::None { Level::Drain } else { Level::Kill };
        });
        *self.0.borrow()
    }
}
