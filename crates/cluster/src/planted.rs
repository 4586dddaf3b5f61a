//! Rules that tests break on purpose, to show that scenarios and seeds notice.
//!
//! Each rule is asked for where it is enforced, with [`Settings::breaks`](crate::Settings::breaks),
//! which is never true in a released build: that is built without the feature `planted-bugs`.

/// A rule that can be broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Planting {
    /// None is broken.
    #[default]
    Nothing,
    /// A leader serves reads whatever its followers have promised.
    AnswerWithoutLease,
    /// A holder keeps serving after it has told another node to campaign.
    KeepLeaseOverTransfer,
    /// A node that restarts votes at once, though it may have promised not to. Broken by the
    /// driver.
    ForgetPromises,
    /// The log thread calls a write durable before it is. Broken by the driver.
    EarlyPersisted,
    /// A manager decides on although it has lost the lease of the system shard: two at once. No
    /// rule is broken by that, and nothing may come of it.
    ManageWithoutLease,
    /// A holder stamps entries with its own wall clock, whatever the others' clocks say.
    StampByOwnClock,
    /// A shard whose log is ahead of the time stands still until that has come.
    StampsStandStill,
    /// KEYS, SCAN and RANDOMKEY leave out what has expired by the holder's clock, though the log
    /// does not say so.
    ListByHoldersClock,
    /// A machine that may have stood still with its clocks goes on as if it had not.
    TrustOwnClocks,
    /// A manager takes a node for dead that others hear, and its holder obeys.
    BuryTheLiving,
    /// A replica that is added again to a directory is taken for the one that was removed.
    SeatUsedAgain,
    /// A removed replica votes for nobody.
    RemovedHasNoVote,
    /// A removed replica votes for nobody who lacks what stood behind its removal in its log.
    RemovedKeepsItsTail,
    /// A replica is reported as gone as soon as its holder knows that.
    GoneAtOnce,
    /// A removed replica forgets what it has promised.
    RemovedBreaksItsPromise,
    /// A catch-up installs the slots that came last, whichever the engine has accepted.
    InstallNewestStaging,
    /// A segment counts as long as the settings say, however large the write is that began it.
    LogBySegments,
    /// A turn takes as long as what clients ask for in it.
    EndlessTurn,
    /// Who waits for a write that takes more than a turn to build loses its place.
    BuilderLosesPlace,
    /// What a client asks for behind its long write, which is in the log in part, is not kept back.
    PartsOvertaken,
    /// The parts of a long write are forgotten as soon as they are applied.
    PartsNotKept,
    /// A write that may have cost a node its lease is tried at the next one.
    RetryEverything,
    /// A slot image is made while an entry is applied in part.
    ImageMidEntry,
    /// A lease that was given up is used again when nobody has taken it over (R21).
    ResumeAfterTransfer,
    /// A leader without a lease answers reads without asking a quorum (R14).
    ReadWithoutRound,
    /// Reads join a round whose answers may be older than they are (R15).
    JoinRoundUnderWay,
    /// Reads that came behind a proposed entry run where it is applied, whatever has become of the
    /// lease.
    LateReadsAtPlace,
    /// A node that restarts waits for half as long as it may have promised (R12).
    ShortBan,
    /// A leader's word that it leads a term no more ends what it was promised in a later one.
    ReleaseOfAnyTerm,
    /// What a follower promised in a former term counts in this one.
    AnswerOfAnyTerm,
    /// A node that was suspended goes on with the promises that it held.
    IgnoreClockGap,
    /// A promise counts as long as it was given for, however the clocks drift (R3).
    NoDriftMargin,
    /// While a configuration is joint, the quorum of the incoming one is enough for a lease (R23).
    LeaseOfOneConfiguration,
    /// That a change of the replicas is committed need not be durable with the next one, nor when
    /// it is applied.
    ChangeNotDurable,
    /// A forwarded request that arrives twice is executed twice.
    ForwardTwice,
    /// A transaction does not count as a change of its slot when a segment is to be freed.
    TransactionNotNoted,
    /// A promise that has lapsed is renewed by a beat that comes before the turn's end.
    RenewLapsed,
    /// A node renews its promise to one that does not hear it.
    SupportTheDeaf,
    /// A segment becomes free only when every shard has applied what stands in it.
    ReclaimWaits,
    /// Entries that are written again cut off those behind them.
    KeepEntriesByCutting,
    /// A replica that was removed keeps its data and its log.
    RemovedKeepsAll,
    /// Whoever asks for its vote wakes a replica of which the holder has said that it is none.
    AnyCandidateWakes,
    /// A node takes a directory that went back in time for the one that it was: its own, and a
    /// peer's.
    AcceptOlderDirectory,
    /// A replica that has just started votes before it was told what others remember of it.
    VoteUntold,
    /// A leader counts what was promised to it by another life of a follower.
    CountFormerLife,
    /// A holder takes any number of bytes of requests.
    QueueWithoutLimit,
    /// Whether there is memory for a write is judged when it is applied, by each node's own limit.
    MemoryJudgedAtApply,
    /// A holder takes writes although too few disks can store them.
    FullDisksUnheeded,
    /// A node whose disk is full acknowledges what it did not write.
    FullDiskAcknowledges,
    /// A leader stays although nothing that it sends is acknowledged.
    LeadWithoutProgress,
    /// A leader that has stepped down stands for election like any other.
    StandAtOnce,
    /// Each message of a leader that nobody supports puts off the election of another.
    LeadByMessages,
    /// A node keeps its leases however slow its disk is beside others'.
    KeepLeasesOnSlowDisk,
    /// A leader forgets entries that catch-ups under way will need.
    CompactOverCatchUps,
    /// Every piece of a catch-up is sent again when it is not acknowledged for a while, however
    /// thin the line is.
    ResendAllPieces,
    /// A catch-up begins anew when a segment with a part of it is to be freed at the receiver.
    DropStaging,
    /// A slot image is one piece, however large the slot is.
    WholeImages,
    /// A write over several shards that was done in part is answered with the first error of a
    /// part, as if nothing had been done.
    HideDoneParts,
    /// What a client watched counts in its later transactions, if it began only after its end.
    KeepEndedWatches,
    /// A node runs a request although it has refused an earlier one of the same client.
    ServeBehindRefusals,
    /// A forwarded write is run although its client was told that nobody knows what becomes of it,
    /// and has asked for other things since.
    RunGivenUp,
    /// What a client asks for does not wait for what it has asked for before, whose answers its
    /// node has no room for.
    HeldOvertaken,
    /// A holder serves a read before a write of its client that was answered with UNCERTAIN and is
    /// still in the log.
    ReadBeforeGivenUp,
    /// A leader steps down as one that gets nowhere as soon as a follower comes back without which
    /// nobody could get anywhere.
    CountTimeAlone,
    /// A node keeps as long a log on a disk that is nearly full as on any other.
    LongLogOnShortDisk,
    /// A node that has yet to learn the cut asks the shards of its settings, and calls them all.
    AskAssumedShards,
    /// The pieces of a catch-up are written before the record that installs the one before.
    StageBeforeInstall,
    /// A request of unknown outcome is answered with UNCERTAIN even if it changes nothing.
    UncertainReads,
    /// Reads wait for a quorum's word without an end.
    WaitingReads,
    /// A node knows no way to a holder that it can't reach itself.
    NoDetours,
    /// A node that can't be answered waits for the answer all the same.
    LostAnswersAwaited,
    /// A node names as holder whoever its log names.
    HolderByLog,
    /// Why a shard has no holder is not found out.
    HideCauses,
    /// A node that has joined and was never started counts as one that answers.
    CountUnstarted,
    /// What is noted beside the log about its end is not held against it.
    IgnoreWitness,
    /// What a leader's own disk takes counts as progress, though no follower acknowledges anything.
    CountOwnLog,
    /// A leader waits no longer for progress because others have stepped down before it.
    PatienceOfOnesOwn,
    /// That a follower asks for earlier entries is no sign to a leader that its data arrive.
    RefusalsSayNothing,
    /// That a change of the replicas is committed is durable only by chance.
    ForgetChanges,
    /// A replica that missed its removal does not believe its leader that it is none any more.
    LeadersWordUnheeded,
    /// A replica that led when it was removed, and has not noticed, keeps all that it has.
    DismissedLeadOn,
    /// A request that waited for no other is parked behind what its client sent later.
    ParkUnorderedLast,
    /// A request that was refused is sent again before those behind it have come back.
    SendAgainAtOnce,
    /// A replica counts as one that could take a lease by the number of entries that it lacks.
    LagByEntries,
    /// A holder gives its lease up for one that does not have all of the log yet.
    GiveUpEarly,
    /// Leaders that get somewhere stay as patient as those that don't, and for long.
    PatienceForAll,
    /// All requests wait behind transactions with watched keys, and each of those for the one
    /// before.
    HoldEverything,
    /// A removed replica that was sent a part of a log again campaigns with that, though it has had
    /// more.
    ForgetfulCampaigns,
    /// Salvage takes the longest copy, whatever the term of its end.
    SalvageLongest,
    /// Salvage never says that writes may be missing where any copy of a voter is there.
    SalvageClaimsAll,
    /// Salvage counts copies that others remember to have been newer for a majority.
    SalvageCountsVoid,
    /// Salvage counts whatever copy a voter's node has, in whichever directory and seat.
    SalvageCountsNamesakes,
    /// Salvage asks for a majority of one set of voters, also while there are two.
    SalvageByOneSet,
    /// Salvage takes of a copy what it knows to be committed.
    SalvageLeavesTail,
    /// A leader keeps in memory whatever of its log a catch-up needs.
    KeepLogInMemory,
    /// A segment is freed although a catch-up under way needs entries in it.
    FreeNeededLog,
    /// What was read from the log again is sent by its index, of whatever term it is.
    SendAnyTerm,
}

impl Planting {
    /// All rules that can be broken, by their names in scenarios and on command lines.
    pub const ALL: &[(&str, Self)] = &[
        ("answer-without-lease", Self::AnswerWithoutLease),
        ("keep-lease-over-transfer", Self::KeepLeaseOverTransfer),
        ("forget-promises", Self::ForgetPromises),
        ("early-persisted", Self::EarlyPersisted),
        ("manage-without-lease", Self::ManageWithoutLease),
        ("stamp-by-own-clock", Self::StampByOwnClock),
        ("stamps-stand-still", Self::StampsStandStill),
        ("list-by-holders-clock", Self::ListByHoldersClock),
        ("trust-own-clocks", Self::TrustOwnClocks),
        ("bury-the-living", Self::BuryTheLiving),
        ("seat-used-again", Self::SeatUsedAgain),
        ("removed-has-no-vote", Self::RemovedHasNoVote),
        ("removed-keeps-its-tail", Self::RemovedKeepsItsTail),
        ("gone-at-once", Self::GoneAtOnce),
        ("removed-breaks-its-promise", Self::RemovedBreaksItsPromise),
        ("install-newest-staging", Self::InstallNewestStaging),
        ("log-by-segments", Self::LogBySegments),
        ("endless-turn", Self::EndlessTurn),
        ("builder-loses-place", Self::BuilderLosesPlace),
        ("parts-overtaken", Self::PartsOvertaken),
        ("parts-not-kept", Self::PartsNotKept),
        ("retry-everything", Self::RetryEverything),
        ("image-mid-entry", Self::ImageMidEntry),
        ("resume-after-transfer", Self::ResumeAfterTransfer),
        ("read-without-round", Self::ReadWithoutRound),
        ("join-round-under-way", Self::JoinRoundUnderWay),
        ("late-reads-at-place", Self::LateReadsAtPlace),
        ("short-ban", Self::ShortBan),
        ("release-of-any-term", Self::ReleaseOfAnyTerm),
        ("answer-of-any-term", Self::AnswerOfAnyTerm),
        ("ignore-clock-gap", Self::IgnoreClockGap),
        ("no-drift-margin", Self::NoDriftMargin),
        ("lease-of-one-configuration", Self::LeaseOfOneConfiguration),
        ("change-not-durable", Self::ChangeNotDurable),
        ("forward-twice", Self::ForwardTwice),
        ("transaction-not-noted", Self::TransactionNotNoted),
        ("renew-lapsed", Self::RenewLapsed),
        ("support-the-deaf", Self::SupportTheDeaf),
        ("reclaim-waits", Self::ReclaimWaits),
        ("keep-entries-by-cutting", Self::KeepEntriesByCutting),
        ("removed-keeps-all", Self::RemovedKeepsAll),
        ("any-candidate-wakes", Self::AnyCandidateWakes),
        ("accept-older-directory", Self::AcceptOlderDirectory),
        ("vote-untold", Self::VoteUntold),
        ("count-former-life", Self::CountFormerLife),
        ("queue-without-limit", Self::QueueWithoutLimit),
        ("memory-judged-at-apply", Self::MemoryJudgedAtApply),
        ("full-disks-unheeded", Self::FullDisksUnheeded),
        ("full-disk-acknowledges", Self::FullDiskAcknowledges),
        ("lead-without-progress", Self::LeadWithoutProgress),
        ("stand-at-once", Self::StandAtOnce),
        ("lead-by-messages", Self::LeadByMessages),
        ("keep-leases-on-slow-disk", Self::KeepLeasesOnSlowDisk),
        ("compact-over-catch-ups", Self::CompactOverCatchUps),
        ("resend-all-pieces", Self::ResendAllPieces),
        ("drop-staging", Self::DropStaging),
        ("whole-images", Self::WholeImages),
        ("hide-done-parts", Self::HideDoneParts),
        ("keep-ended-watches", Self::KeepEndedWatches),
        ("serve-behind-refusals", Self::ServeBehindRefusals),
        ("run-given-up", Self::RunGivenUp),
        ("held-overtaken", Self::HeldOvertaken),
        ("read-before-given-up", Self::ReadBeforeGivenUp),
        ("count-time-alone", Self::CountTimeAlone),
        ("long-log-on-short-disk", Self::LongLogOnShortDisk),
        ("ask-assumed-shards", Self::AskAssumedShards),
        ("stage-before-install", Self::StageBeforeInstall),
        ("uncertain-reads", Self::UncertainReads),
        ("waiting-reads", Self::WaitingReads),
        ("no-detours", Self::NoDetours),
        ("lost-answers-awaited", Self::LostAnswersAwaited),
        ("holder-by-log", Self::HolderByLog),
        ("hide-causes", Self::HideCauses),
        ("count-unstarted", Self::CountUnstarted),
        ("ignore-witness", Self::IgnoreWitness),
        ("count-own-log", Self::CountOwnLog),
        ("patience-of-ones-own", Self::PatienceOfOnesOwn),
        ("refusals-say-nothing", Self::RefusalsSayNothing),
        ("forget-changes", Self::ForgetChanges),
        ("leaders-word-unheeded", Self::LeadersWordUnheeded),
        ("dismissed-lead-on", Self::DismissedLeadOn),
        ("park-unordered-last", Self::ParkUnorderedLast),
        ("send-again-at-once", Self::SendAgainAtOnce),
        ("lag-by-entries", Self::LagByEntries),
        ("give-up-early", Self::GiveUpEarly),
        ("patience-for-all", Self::PatienceForAll),
        ("hold-everything", Self::HoldEverything),
        ("forgetful-campaigns", Self::ForgetfulCampaigns),
        ("salvage-longest", Self::SalvageLongest),
        ("salvage-claims-all", Self::SalvageClaimsAll),
        ("salvage-counts-void", Self::SalvageCountsVoid),
        ("salvage-counts-namesakes", Self::SalvageCountsNamesakes),
        ("salvage-by-one-set", Self::SalvageByOneSet),
        ("salvage-leaves-tail", Self::SalvageLeavesTail),
        ("keep-log-in-memory", Self::KeepLogInMemory),
        ("free-needed-log", Self::FreeNeededLog),
        ("send-any-term", Self::SendAnyTerm),
    ];

    /// The rule of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, planting)| *planting)
    }
}

/// Rules that are broken together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Plantings(u128);

impl Plantings {
    /// Breaks a rule too.
    pub fn insert(&mut self, planting: Planting) {
        if planting != Planting::Nothing {
            self.0 |= 1 << planting as u8;
        }
    }

    /// Whether a rule is broken: never, but with the feature `planted-bugs`.
    #[must_use]
    pub fn contains(self, planting: Planting) -> bool {
        cfg!(feature = "planted-bugs") && self.0 & 1 << planting as u8 != 0
    }
}
